"""Notebook 08 runs on the made-up predictions of the core systems, at a scale without synthetic speech and judge."""

import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from blsp_core import pipeline
from blsp_core.data.manifest import write_jsonl
from blsp_core.evaluation import recompute

ROOT = Path(__file__).parents[2]
WIDE = 120  # columns of a terminal
JUDGED = ("quality", "empathy")
STAGES = ("llm", "whisper", "transcripts")


@pytest.fixture
def study(tmp_path, monkeypatch, predictions):
    """A folder with the products that the notebook reads."""
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    params = params.replace("judge: {model: toy,", 'judge: {model: "",')
    params = params.replace("acoustics_corpus: statements", 'acoustics_corpus: ""')
    (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
    for folder in ("notebooks", "data"):
        (tmp_path / folder).mkdir()
    for name in ("published.json", "claims.yaml", "verdicts_before.csv"):
        shutil.copy(ROOT / "data" / name, tmp_path / "data" / name)
    folder, run = tmp_path / "data/mini", {"section": "x", "run": None, "seconds": 60.0, "peak_memory_gb": 1.0}
    found = {"run": run, "wer": 0.01, "emotion": 0.99, "corpora": {"acted": {"wer": 0.01}}}
    read = pipeline.read_params(tmp_path)
    systems = [*read["systems"], *read["runs"]["core"], "probe"]
    for place in [*(f"evaluation/core/{name}" for name in systems), "training/core/blsp-emo", *STAGES]:
        (folder / place).mkdir(parents=True)
        (folder / place / "results.json").write_text(json.dumps(found))
    for name in systems:
        tasks = predictions.get(name, predictions["blsp-emo" if name == "gold+llm" else "text+llm"])[1]
        rows = [{k: v for k, v in row.items() if k not in JUDGED} for rows in tasks.values() for row in rows]
        write_jsonl(folder / f"evaluation/core/{name}/predictions.jsonl", rows)
    log = pd.DataFrame({"step": [10, 20], "response_ce": [2.0, 1.0], "emotion_ce": [1.0, 0.5]})
    log.to_csv(folder / "training/core/blsp-emo/log.csv", index=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLSP_STAGE", "report-core")
    return tmp_path


def test_the_report_is_written_for_the_core_systems(study):
    notebook = nbformat.read(ROOT / "notebooks/08_report.ipynb", as_version=4)
    names: dict = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 8 and "def " not in cell.source and not cell.outputs
            exec(compile(cell.source, cell.id, "exec"), names)
    results, figures = study / "data/mini/results", study / "figures/mini/core"
    verdicts = {claim["id"]: claim["verdict"] for claim in json.loads((results / "core/claims.json").read_text())}
    assert verdicts["recognition-text"] == "reproduced" and verdicts["needs-emotion-loss"] == "not measured"
    drawn, written = ({path.stem for path in figures.glob(f"*.{suffix}")} for suffix in ("pdf", "csv"))
    assert drawn >= {"method", "accuracy", "verdicts", "stage2"}
    assert written >= {"table1", "table2", "table4", "claims", "cost", "balanced"}
    assert not (drawn | written) & {"figure1", "dialogues", "quality_empathy", "empathy"}
    columns = {name: set(pd.read_csv(figures / f"{name}.csv")) for name in written}
    assert not [name for name in written if columns[name] & {*JUDGED, "unjudged"}]
    assert names["judging"].startswith("There is no judge")
    assert all("WER of its transcripts, %" in columns[name] for name in ("summary", "table1", "balanced"))
    assert recompute.main([str(results / "core")]) == 0  # from the file of predictions alone
    summary = json.loads((results / "core.json").read_text())
    assert sum(max(len(name), len(str(value))) + 2 for name, value in summary.items()) < WIDE - 30
    assert json.loads((results / "core/record.json").read_text())["run"]["section"] == "report"
    assert len(pd.read_csv(results / "core/metrics.csv")) > 50
