"""Notebooks, dvc.yaml, params.yaml and README.md say the same thing."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from blsp_core import cli, pipeline
from blsp_core.errors import StudyError
from blsp_core.evaluation import recompute

ROOT = Path(__file__).resolve().parents[2]
PARAMS = pipeline.read_params(ROOT)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]
STAGES = {
    f"{file.parent.name or '.'}:{name}": stage.get("do", stage)
    for file in (ROOT / "dvc.yaml", ROOT / "full/dvc.yaml", ROOT / "extra/dvc.yaml")
    for name, stage in YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))["stages"].items()
}
WORLDS = [str(path.parent.relative_to(ROOT)) for path in sorted((ROOT / "data/worlds").glob("*/*/predictions.zip"))]
LAYERS = [path.name for path in (ROOT / "blsp_core").iterdir() if path.is_dir() and path.name != "__pycache__"]


def notebooks_of(stage: dict) -> list[str]:
    """The notebooks that a stage may execute: one, or those of the runs that it trains."""
    name = re.search(r"pipeline run (\S+)", str(stage["cmd"]))
    if name is None:
        return []
    return ["stage1", "stage2", "classifier"] if name[1] == "${item.stage}" else [name[1]]


def modules_of(source: str) -> set[Path]:
    """The files of blsp_core that a piece of code imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("blsp_core"):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = [ROOT / name.replace(".", "/") for name in names]
    return {place for name in places for place in (name.with_suffix(".py"), name / "__init__.py") if place.is_file()}


def layers_of(notebook: Path) -> set[str]:
    """The layers whose code decides what a notebook writes; plots decide that of the reports alone."""
    reports = notebook.stem in ("07_ablations", "08_report")
    cells = nbformat.read(notebook, as_version=4).cells
    new = set().union(*(modules_of(cell.source) for cell in cells if cell.cell_type == "code"))
    found: set[Path] = set()
    while new:
        new = {path for path in new if reports or "report" not in path.relative_to(ROOT).parts}
        found |= new
        new = set().union(*(modules_of(path.read_text(encoding="utf-8")) for path in new)) - found
    return {path.relative_to(ROOT / "blsp_core").parts[0] for path in found} & set(LAYERS)


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_a_numbered_notebook_has_default_parameters_and_no_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    (parameters,) = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert all("  # default: " in line for line in parameters.splitlines())
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert [cell.source for cell in cells if re.search(r"^(def|class) ", cell.get("source", ""), re.M)] == []


def test_every_numbered_notebook_and_explore_are_executed_by_a_stage():
    executed = {name for stage in STAGES.values() for name in notebooks_of(stage)}
    assert executed == {"explore", *(path.stem[3:] for path in NUMBERED)}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_does_and_depends_on_its_section(name):
    stage = STAGES[name]
    assert len(stage["desc"]) > 15
    for notebook in {*notebooks_of(stage)} - {"explore"}:  # which has no settings
        section = "${item.stage}" if "${item.stage}" in stage["cmd"] else notebook
        section = "report" if section == "ablations" else section
        assert {"seed", section} <= set(stage["params"])
        assert notebook == "ablations" or section.startswith("$") or section in PARAMS


@pytest.mark.parametrize("name", [name for name in STAGES if notebooks_of(STAGES[name])])
def test_a_stage_depends_on_the_layers_that_its_notebook_imports(name):
    declared = {path.split("/")[1] for path in STAGES[name]["deps"] if path.startswith("blsp_core/")}
    for notebook in notebooks_of(STAGES[name]):
        (path,) = [path for path in (ROOT / "notebooks").glob("*.ipynb") if path.stem.lstrip("0123456789_") == notebook]
        assert layers_of(path) - {"toy"} <= declared
    assert "convert" not in declared
    assert "report" in declared or not {"report", "ablations"} & set(notebooks_of(STAGES[name]))


def test_the_files_that_people_edit_stay_short():
    for name in ("dvc.yaml", "params.yaml"):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 150, name


def test_the_readme_is_short_and_names_files_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150 and len(text.split()) <= 1500
    for path in re.findall(r"\]\((?!http|#)([^)]+)\)", text):
        assert (ROOT / path).exists(), path


def test_the_readme_shows_the_measured_numbers():
    def cells(path: str) -> set[tuple]:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        return {tuple(cell.strip() for cell in line.split("|")) for line in lines if re.search(r"\d+\.\d \[", line)}

    shown = cells("README.md")
    assert shown and shown == cells("figures/mini/full/summary.md")


def test_the_readmes_command_and_python_give_the_replies_it_shows(monkeypatch, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^(models/mini/clips/\w+\.flac)  \[(\w+) [\d.]+\]  (.+)$", text, re.MULTILINE)
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(cli.generate_app, [clip for clip, *_ in shown])
    assert len(shown) == 2
    for line, (clip, emotion, reply) in zip(result.stdout.splitlines(), shown, strict=True):
        assert line.startswith(f"{clip}  [{emotion} ") and line.endswith(f"]  {reply}")
    capsys.readouterr()
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
    assert capsys.readouterr().out.strip() == shown[0][2]


def test_the_readme_quotes_the_benchmark():
    rows = json.loads((ROOT / "figures/bench/results.json").read_text(encoding="utf-8"))["cases"]
    ratios = {(row["case"], row["variant"]): f"{row['ratio']:.1f}" for row in rows}
    stages = [ratios[f"stage {stage}", "real frames"] for stage in (1, 2)]
    more = ratios["continuations", "batches of 64"], ratios["first token", "real frames"]
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    assert f"{stages[0]} times as fast in a step of stage 1, {stages[1]} in stage 2" in text
    assert f"{more[0]} for continuations by the toy LLM, {more[1]} to the first token" in text


def test_ruff_reads_every_folder_of_the_package_and_no_product():
    command = [sys.executable, "-m", "ruff", "check", "--show-files", "."]
    files = set(subprocess.check_output(command, cwd=ROOT, text=True).split())
    assert {str(path) for path in (ROOT / "blsp_core").rglob("*.py")} <= files
    assert not any(name.startswith(f"{ROOT / 'data'}/") for name in files)


@pytest.mark.parametrize("folder", ["data/mini/results/core", "data/mini/results/full", *WORLDS])
def test_the_committed_claims_follow_from_the_committed_predictions(folder):
    assert recompute.main([str(ROOT / folder)]) == 0


def test_predictions_outside_a_study_are_one_sentence(tmp_path):
    shutil.copy(ROOT / "data/mini/results/core/predictions.zip", tmp_path)
    with pytest.raises(StudyError, match="no folder above it holds data/claims.yaml"):
        recompute.main([str(tmp_path)])


def test_no_notebook_for_readers_has_a_path_of_a_machine():
    shown = sorted((ROOT / "figures").rglob("*.ipynb"))
    assert shown
    for path in shown:
        assert not re.search(r"Path\('/|\"/\w+/|/home/|/tmp/", path.read_text(encoding="utf-8")), path
