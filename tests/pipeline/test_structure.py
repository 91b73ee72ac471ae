"""Notebooks, dvc.yaml and params.yaml say the same thing."""

import ast
import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from blsp_core.study import runner, settings
from blsp_core.study.settings import read_params, resolve

ROOT = Path(__file__).resolve().parents[2]
PARAMS = read_params(ROOT)
PIPELINE = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES = {name: stage.get("do", stage) for name, stage in PIPELINE.items()}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]
RUNS = [name for name in STAGES if name != "clean"]
# What runs a notebook decides nothing of its result: a change there makes no stage stale.
SPARED = {
    f"blsp_core/{name}.py" for name in ("errors", "study/notebook", "study/record", "study/runner", "study/settings")
}
# Pictures and tables decide nothing either, but for the stages whose product they are.
_DISPLAY = "bars beside captions charts exhibits figures method page pictures pictures_ablations report tables"
DISPLAY = {f"blsp_core/study/{name}.py" for name in _DISPLAY.split()}


def stem(path: Path) -> str:
    return path.stem


def section_of(stage: dict) -> str:
    return re.search(r"notebook run (\w+)", stage["cmd"])[1]


def notebook_of(stage: dict) -> Path:
    (copy,) = (path for path in stage["deps"] if path.startswith("data/notebooks/"))
    return ROOT / "notebooks" / Path(copy).name


def imports(source: str) -> set[str]:
    """The files of the package that a piece of code imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("blsp_core"):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("blsp_core")}
    places = {name.replace(".", "/") for name in names}
    files = {f"{place}.py" for place in places} | {f"{place}/__init__.py" for place in places}
    return {file for file in files if (ROOT / file).is_file()} - SPARED


def used_by(notebook: Path) -> set[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    reached, new = set(), set().union(*(imports(source) for source in code))
    while new:
        reached |= new
        new = set().union(*(imports((ROOT / file).read_text(encoding="utf-8")) for file in new)) - reached
    return {file for file in reached if (ROOT / file).read_text(encoding="utf-8").count("\n") > 1}


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
def test_a_stage_depends_on_all_the_code_its_notebook_uses_and_on_no_file_that_is_not_there(name):
    declared = [Path(path) for path in STAGES[name]["deps"] if path.startswith("blsp_core")]
    assert [str(path) for path in declared if not (ROOT / path).exists()] == []
    used = used_by(notebook_of(STAGES[name])) - (DISPLAY if name not in ("ablations", "paper") else set())
    assert [file for file in sorted(used) if not any(Path(file).is_relative_to(path) for path in declared)] == []


@pytest.mark.parametrize("name", RUNS)
def test_a_stage_declares_the_executed_notebook_that_the_runner_writes(name):
    outs = [out if isinstance(out, str) else next(iter(out)) for out in STAGES[name]["outs"]]
    seeded = "-${item.system}-${item.seed}" if "matrix" in PIPELINE[name] else ""
    which = "-${key}-${seed}" if "foreach" in PIPELINE[name] else seeded
    assert f"data/${{scale}}/executed/{notebook_of(STAGES[name]).stem}{which}.ipynb" in outs


def test_whatever_is_trained_is_evaluated():
    evaluated = {PIPELINE[name]["matrix"]["system"] for name in PIPELINE if name.startswith("evaluate")}
    assert evaluated == {f"${{{runs}}}" for runs in settings.RUNS.values()}
