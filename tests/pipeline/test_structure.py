"""Notebooks, dvc.yaml and params.yaml say the same thing."""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from blsp_core.study import runner, settings, sources
from blsp_core.study.settings import read_params, resolve

ROOT = Path(__file__).resolve().parents[2]
PARAMS = read_params(ROOT)
PIPELINE = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES = {name: stage.get("do", stage) for name, stage in PIPELINE.items()}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]
RUNS = [name for name in STAGES if name != "clean"]


def stem(path: Path) -> str:
    return path.stem


def section_of(stage: dict) -> str:
    return re.search(r"notebook run (\w+)", stage["cmd"])[1]


def notebook_of(stage: dict) -> Path:
    (copy,) = (path for path in stage["deps"] if path.startswith("data/notebooks/"))
    return ROOT / "notebooks" / Path(copy).name


@pytest.mark.parametrize("path", NUMBERED, ids=stem)
def test_a_notebook_takes_its_parameters_as_the_others_do(path):
    parameters = runner.parameters_of(json.loads(path.read_text(encoding="utf-8")))
    assert {"scale", "settings", "seed"} <= set(parameters)
    assert parameters["scale"] is parameters["settings"] is parameters["seed"] is None
    listed = settings.RUNS.get(path.stem[3:])
    runs = PARAMS[listed] if listed else [*PARAMS["variants"], *PARAMS["semantic"], *PARAMS["cascades"]]
    assert parameters.get("system", next(iter(runs))) in runs
    assert parameters.get("train_seed") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stem)
def test_a_notebook_is_kept_without_outputs(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    stored = [cell for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")]
    assert not stored, "run `python -m blsp_core.study.notebook clean --in-place`"


@pytest.mark.parametrize("path", NUMBERED, ids=stem)
def test_the_clean_copy_is_up_to_date(path):
    copy = ROOT / runner.COPIES / path.name
    expected = runner.cleaned(json.loads(path.read_text(encoding="utf-8")))
    assert json.loads(copy.read_text(encoding="utf-8")) == expected, "run `dvc repro clean`"


def test_every_numbered_notebook_is_a_stage_and_every_stage_has_its_notebook():
    assert {path.name for path in NUMBERED} == {notebook_of(STAGES[name]).name for name in RUNS}
    for name in RUNS:
        assert re.fullmatch(rf"\d\d_{section_of(STAGES[name])}", notebook_of(STAGES[name]).stem), name


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_does(name):
    assert len(STAGES[name]["desc"]) > 20


@pytest.mark.parametrize("name", RUNS)
def test_a_stage_depends_on_its_settings_at_its_scale(name):
    section = section_of(STAGES[name])
    assert {"scale", "seed", section, f"scales.${{scale}}.{section}"} <= set(STAGES[name]["params"])
    for scale in PARAMS["scales"]:
        for system in PARAMS[settings.RUNS[section]] if section in settings.RUNS else [None]:
            resolve(PARAMS, section, scale, system)  # raises where an override names what is not there


@pytest.mark.parametrize("name", RUNS)
def test_a_stage_depends_on_the_code_its_notebook_uses_and_on_no_file_that_is_not_there(name):
    declared = STAGES[name]["deps"]
    assert f"{runner.CODE.as_posix()}/{notebook_of(STAGES[name]).stem}.txt" in declared
    assert [path for path in declared if path.startswith("blsp_core") and not (ROOT / path).exists()] == []


def test_every_module_that_is_spared_is_there():
    assert [name for name in sources.RUNNING | sources.SHOWING if not (ROOT / f"blsp_core/{name}.py").is_file()] == []


@pytest.mark.parametrize("name", RUNS)
def test_a_stage_declares_the_executed_notebook_that_the_runner_writes(name):
    outs = [out if isinstance(out, str) else next(iter(out)) for out in STAGES[name]["outs"]]
    seeded = "-${item.system}-${item.seed}" if "matrix" in PIPELINE[name] else ""
    which = "-${key}-${seed}" if "foreach" in PIPELINE[name] else seeded
    assert f"data/${{scale}}/executed/{notebook_of(STAGES[name]).stem}{which}.ipynb" in outs


def test_whatever_is_trained_is_evaluated():
    systems = {name: stage["matrix"]["system"] for name, stage in PIPELINE.items() if "matrix" in stage}
    assert systems["evaluate_again"] == systems["stage1_again"] + systems["stage2_again"] == [*settings.AGAIN]
    evaluated = {names for name, names in systems.items() if name.startswith("evaluate") and name != "evaluate_again"}
    assert evaluated == {f"${{{runs}}}" for runs in settings.RUNS.values()}
