"""A study in miniature of the miniature: a folder with params.yaml and notebooks made of a few strings."""

import json
from pathlib import Path

PARAMETERS = "scale = None\nsettings = None\nseed = None"
START = "from blsp_core.study import notebook\nstudy = notebook.start('{}', scale, settings, seed)"
PARAMS = """
scale: smoke
seed: 7
stage1: {steps: 3, rate: 1e-4, bold: false}
stage2: {steps: 5, frozen: false}
variants: {plain: {}, frozen: {frozen: true}}
systems: [plain]
seeds: [3, 7]
further_seeds: [8]
semantic: {blsp: {}}
scales:
  smoke: {stage1: {steps: 2}, stage2: {}}
  mini: {stage1: {}, stage2: {steps: 6}}
"""


def make_notebook(*sources: str, parameters: str = PARAMETERS) -> dict:
    cells = [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# A title"}]
    for number, source in enumerate([parameters, *sources]):
        metadata = {} if number else {"tags": ["parameters"]}
        cell = {"cell_type": "code", "id": f"b{number}", "metadata": metadata, "source": source}
        cells.append(cell | {"outputs": [], "execution_count": None})
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def make_study(root: Path, *sources: str, stage: str = "stage1", parameters: str = PARAMETERS) -> Path:
    """A study of one notebook, data/notebooks/04_`stage`.ipynb, of the cells `sources` below its first two."""
    for folder in (root / "notebooks", root / "data" / "notebooks"):
        folder.mkdir(parents=True)
        notebook = make_notebook(START.format(stage), *sources, parameters=parameters)
        (folder / f"04_{stage}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    return root
