"""Arrows run one way: a layer imports only what is below it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "blsp_core"
BELOW = {
    "model": set(),
    "convert": {"model"},
    "data": {"model"},
    "inference": {"model", "data"},
    "training": {"model", "data", "inference"},
    "evaluation": {"model", "data", "inference", "training"},
    "report": {"model", "data", "inference", "training", "evaluation"},
    "toy": {"model", "data", "inference", "training"},
    "bench": {"model", "data", "inference", "training", "report"},
}
LAZY = {"evaluation": {"toy"}}  # evaluation.judges.load imports the toy judge where params.yaml names it
EVERYWHERE = {"errors", "record", "params", "schema", "processes"}


def imports_of(path: Path, top_level_only: bool) -> set[str]:
    """The layers and modules of blsp_core that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("blsp_core.")}
    return found


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_imports_only_what_is_below_it(layer):
    for path in (PACKAGE / layer).rglob("*.py"):
        allowed = BELOW[layer] | EVERYWHERE | {layer}
        assert imports_of(path, top_level_only=True) <= allowed, path
        assert imports_of(path, top_level_only=False) <= allowed | LAZY.get(layer, set()), path


def test_every_folder_of_the_package_is_a_layer():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(BELOW)


def test_files_hold_one_idea():
    too_long = {str(path): n for path in PACKAGE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 300}
    assert too_long == {}
