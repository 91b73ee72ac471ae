"""Which files of the package a notebook's results stand on: a change in one of them makes its stage stale.

The pipeline depends on the list that `write_lists` makes of them, so dvc.yaml names no file of code.
"""

import ast
import hashlib
import json
from pathlib import Path

PACKAGE = "blsp_core"
# What runs a notebook decides nothing of its results.
RUNNING = {"errors", "study/notebook", "study/record", "study/runner", "study/settings", "study/sources"}
# Nor do pictures and tables, but for the stages whose product they are.
_SHOWING = "bars beside captions charts exhibits figures method page pictures pictures_ablations report tables"
SHOWING = {f"study/{name}" for name in _SHOWING.split()}
SHOWN_BY = {"07_ablations", "08_paper"}


def write_lists(root: Path, notebooks: list[Path], folder: Path) -> None:
    """For each notebook `folder`/<its name>.txt, a line "<MD5> <file>" for each file that its results stand on."""
    folder.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    for notebook in notebooks:
        files = sorted(code_of(root, notebook))
        for file in set(files) - set(digests):
            digests[file] = hashlib.md5((root / file).read_bytes()).hexdigest()
        lines = "".join(f"{digests[file]} {file}\n" for file in files)
        (folder / f"{notebook.stem}.txt").write_text(lines, encoding="utf-8")


def code_of(root: Path, notebook: Path) -> set[str]:
    """The files of the package, relative to `root`, that a notebook imports, and those that these import, and so on."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    spared = RUNNING if notebook.stem in SHOWN_BY else RUNNING | SHOWING
    reached, new = set(), set().union(*(_imports(root, source) for source in code))
    while new := {file for file in new - reached if module_of(file) not in spared}:
        reached |= new
        new = set().union(*(_imports(root, (root / file).read_text(encoding="utf-8")) for file in new))
    return reached


def module_of(file: str) -> str:
    """blsp_core/study/notebook.py -> study/notebook"""
    return file.removeprefix(f"{PACKAGE}/").removesuffix(".py")


def _imports(root: Path, source: str) -> set[str]:
    """The files of the package that a piece of code imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            found |= {file for alias in node.names for file in _files(root, node.module, alias.name)}
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE]
            found |= {file for name in names for file in _files(root, *name.rpartition(".")[::2])}
    return found


def _files(root: Path, module: str, name: str) -> list[str]:
    """`from module import name`: the file of `name`, else of `module`; all of a package that gives it out by name."""
    place = Path(*module.split("."))
    for file in (place / f"{name}.py", place.with_suffix(".py")):
        if (root / file).is_file():
            return [file.as_posix()]
    return sorted(path.relative_to(root).as_posix() for path in (root / place).glob("*.py"))
