"""Which files of the package a notebook's results stand on: a change in one of them makes its stage stale.

The pipeline depends on the list that `write_lists` makes of them, so dvc.yaml names no file of code.
"""

import ast
import hashlib
import json
from pathlib import Path

from blsp_core.errors import StudyError

PACKAGE = "blsp_core"
# What runs a notebook is taken to decide nothing of its results; the settings that it hands over are tracked as such.
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
    """The files of the package that a piece of code imports, wherever in it. StudyError for a relative import."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                raise StudyError(
                    f"`{ast.unparse(node)}`: the pipeline does not follow relative imports; write {PACKAGE}. out"
                )
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {file for name in names if name.split(".")[0] == PACKAGE for file in _files(root, name)}
    return found


def _files(root: Path, name: str) -> list[str]:
    """What `import name` and `from ... import name` read: a module, or all of a package, which may give out anything.

    `name` may also be something in a module, or something that a package gives out.
    """
    place = Path(*name.split("."))
    for module in (place, place.parent):
        if module.name and (root / module.with_suffix(".py")).is_file():
            return [module.with_suffix(".py").as_posix()]
        if (root / module / "__init__.py").is_file() and module != Path(PACKAGE):
            return sorted(path.relative_to(root).as_posix() for path in (root / module).glob("*.py"))
    return []
