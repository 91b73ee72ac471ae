"""Params, paths, clean copies and the execution of one notebook, in a study made of a few strings."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from ruamel.yaml import YAML

from blsp_core import pipeline
from blsp_core.errors import StudyError

REAL = Path(__file__).resolve().parents[2]
RUNS = """
  core:
    blsp: {stage: stage1, from: llm, seed: 7}
    emo-f2: {stage: stage2, from: models/blsp, seed: 2, fold: 2, system: emo, learning_rate: 0.5, head: {norm: 9}}
  full:
    other: {stage: stage1, from: llm, seed: 7, adapter: {type: qformer}}
  extra: {}
"""


def make_params() -> str:
    """params.yaml at scale `tiny`, with three runs."""
    params = YAML(typ="safe", pure=True).load((REAL / "params.yaml").read_text(encoding="utf-8"))
    params |= {"scale": "tiny", "seed": 7, "folds": 3, "runs": YAML(typ="safe", pure=True).load(RUNS)}
    params["stage2"]["corpora"] = ["acted", "ravdess.fold{fold}"]
    params["evaluation"]["altered"], params["data"]["corpora"] = ["emo"], {"ravdess": {}}
    text = io.StringIO()
    YAML().dump(params, text)
    return text.getvalue()


PARAMS = make_params()
CELLS = [
    'run = "blsp"  # default: "blsp"   one of runs\nchanges = {}  # default: {}   settings to try',
    "from blsp_core import pipeline\nstudy = pipeline.start('stage1', run, changes)",
]


def make_study(root: Path, *cells: str, params: str = PARAMS) -> Path:
    (root / "notebooks").mkdir(parents=True)
    (root / "params.yaml").write_text(params, encoding="utf-8")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in [*CELLS, *cells]]
    notebook.cells[0].metadata = {"tags": ["parameters"]}
    nbformat.write(notebook, root / "notebooks/04_stage1.ipynb")
    return root


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.delenv("BLSP_STAGE", raising=False)
    root = make_study(tmp_path / "study")
    monkeypatch.chdir(root / "notebooks")  # where JupyterLab starts a kernel
    return root


def test_a_run_lays_its_settings_over_its_section(study):
    params = pipeline.read_params(study)
    settings, head = pipeline.resolve(params, "stage2", "emo-f2"), params["stage2"]["head"]
    assert settings["learning_rate"] == 0.5 and settings["head"] == {**head, "norm": 9}
    assert pipeline.resolve(params, "stage1", "other")["adapter"] == {"type": "qformer"}
    assert pipeline.resolve(params, "stage1", "blsp") == params["stage1"]
    with pytest.raises(StudyError, match="'emo-f2' is no run of stage1; there are blsp, other"):
        pipeline.start("stage1", "emo-f2")


def test_a_run_has_its_own_fold_and_an_untrained_system_has_all(study):
    params = pipeline.read_params(study)
    assert pipeline.resolve(params, "stage2", "emo-f2")["corpora"] == ["acted", "ravdess.fold2"]
    params["evaluation"]["ser"] = params["stage2"]["corpora"]
    every = ["acted", "ravdess.fold1", "ravdess.fold2", "ravdess.fold3"]
    assert pipeline.resolve(params, "evaluation", "text+llm")["ser"] == every


def test_a_change_by_hand_is_checked_too(study):
    with pytest.raises(StudyError, match="changes: steps is 'few'; wanted is a valid integer"):
        pipeline.start("stage1", "blsp", {"steps": "few"})
    with pytest.raises(StudyError, match=r"changes: \['steps'\]; wanted is a mapping of settings of stage1"):
        pipeline.start("stage1", "blsp", ["steps"])


def test_an_interactive_notebook_writes_apart(study):
    begun = pipeline.start("stage1", "blsp", {"steps": 5})
    assert begun.interactive and begun.settings.steps == 5 and begun.train_seed == 7007 and begun.root == study
    begun.record("models/results.json", {"loss": 1})
    assert (study / ".scratch/interactive/tiny/models/results.json").is_file() and not (study / "data/tiny").exists()
    with pytest.raises(StudyError, match="changes: 'stepz' is not a setting of stage1"):
        pipeline.start("stage1", "blsp", {"stepz": 1})
    with pytest.raises(StudyError, match="data/tiny/llm does not exist yet; `dvc repro` makes it"):
        begun.read("llm")


def test_unfinished_work_is_found_again_on_equal_terms_only(study):
    manifest = study / "data/tiny/manifests/a.jsonl"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("1")

    def folder(run="blsp", **changes):
        begun = pipeline.start("stage1", run, changes)
        begun.read("manifests")
        return begun.checkpoints

    first = folder()
    assert first == folder() and first.is_dir() and first not in (folder("other"), folder(steps=9))
    os.utime(manifest, ns=(1, 1))
    assert folder() != first
    pipeline.start("stage1", "blsp").record("x.json", {})
    assert not first.exists()


def test_the_clean_copy_has_no_outputs_and_default_parameters(study):
    path = study / "notebooks/04_stage1.ipynb"
    notebook = nbformat.read(path, as_version=4)
    changed = notebook.cells[0].source.replace('"blsp"  #', '"other"  #').replace("{}  #", "{\n 1: 2}  #")
    notebook.cells[0].source = changed
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="seen")]
    notebook.cells[1].execution_count = 4
    pipeline.clean(study)
    before = (study / "data/notebooks/stage1.ipynb").read_bytes()
    nbformat.write(notebook, path)
    pipeline.clean(study)
    assert (study / "data/notebooks/stage1.ipynb").read_bytes() == before
    assert nbformat.reads(before.decode(), as_version=4).cells[0].source == CELLS[0]


def test_a_stage_executes_its_notebook_and_shows_what_it_prints(tmp_path, monkeypatch, capfd):
    root = make_study(tmp_path / "study", "print('step 1')", "study.write('models/x').write_text(study.run)")
    monkeypatch.chdir(root)
    pipeline.clean(root)
    assert pipeline.main(["run", "stage1", "--run", "other"]) == 0
    assert (root / "data/tiny/models/x").read_text() == "other"
    said = capfd.readouterr()
    assert "step 1" in said.out + said.err and "stage1-other: " in said.out
    executed = json.loads((root / "data/tiny/executed/stage1-other.ipynb").read_text())
    assert "models/x" in str(executed["cells"][-1]["source"])


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("study.read('llm')", "data/tiny/llm does not exist yet"),
        ("assert False", "notebook stage1: AssertionError: no message; the traceback is in"),
    ],
)
def test_a_failing_stage_ends_in_one_sentence(tmp_path, monkeypatch, capfd, cell, sentence):
    root = make_study(tmp_path / "study", cell)
    monkeypatch.chdir(root)
    pipeline.clean(root)
    assert pipeline.main(["run", "stage1"]) == 1
    assert capfd.readouterr().err.strip().splitlines()[-1].startswith(sentence)


def test_the_root_is_the_folder_one_is_in(study, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "parent"))  # what `dvc exp run --temp` sets
    assert pipeline.find_root() == study


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_stage_that_is_terminated_takes_its_kernel_along(tmp_path):
    code = "import os, time\nstudy.write('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    root = make_study(tmp_path / "study", code)
    pipeline.clean(root)
    stage = subprocess.Popen([sys.executable, "-m", "blsp_core.pipeline", "run", "stage1"], cwd=root)
    place = root / "data/tiny/pid"
    wait_for(lambda: place.is_file() and place.read_text(), seconds=120)
    stage.terminate()
    assert stage.wait(timeout=60) == 130
    wait_for(lambda: not Path(f"/proc/{place.read_text()}").exists(), seconds=30)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stage_ends_with_the_dvc_that_was_killed(tmp_path):
    code = "import os, time\nstudy.write('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    root = make_study(tmp_path / "study", code)
    pipeline.clean(root)
    stage = f"import subprocess; subprocess.run({[sys.executable, '-m', 'blsp_core.pipeline', 'run', 'stage1']})"
    dvc = subprocess.Popen([sys.executable, "-c", stage], cwd=root, env={**os.environ, "DVC_STAGE": "train"})
    place = root / "data/tiny/pid"
    wait_for(lambda: place.is_file() and place.read_text(), seconds=120)
    dvc.kill()
    wait_for(lambda: not Path(f"/proc/{place.read_text()}").exists(), seconds=30)


def test_results_that_cannot_be_written_are_one_sentence(tmp_path, monkeypatch, capfd):
    root = make_study(tmp_path / "study")
    monkeypatch.chdir(root)
    pipeline.clean(root)
    (root / "data/tiny").write_text("a file where a folder belongs")
    assert pipeline.main(["run", "stage1"]) == 1
    said = capfd.readouterr().err.strip()
    assert "data/tiny" in said and "Not a directory" in said and len(said.splitlines()) == 1


def wait_for(condition, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.1)
