"""Runs one notebook as one stage of the pipeline; makes the clean copies of notebooks that stages depend on.

Two runs with equal results give an executed notebook of equal bytes: times and random names are taken out. A run that
fails leaves nothing that could be taken for finished: what it had begun to write is removed, and the notebook as far as
it came lies in .scratch/failed/.
"""

import ast
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.study import record, sources
from blsp_core.study.notebook import IN_PIPELINE, LEDGER, NOTEBOOK
from blsp_core.study.settings import PARAMS, read_params, resolve, scale_of

COPIES = Path("data") / "notebooks"
CODE = Path("data") / "code"
PARAMETERS, INJECTED = "parameters", "injected-parameters"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
KERNEL_OPTIONS = ("--HistoryManager.enabled=False", "--Application.log_level=CRITICAL")
# The kernel is quiet, depends on nothing in the user's home, and hashes and dates as in every other run.
QUIET = {
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore:IProgress",  # tqdm asks for widgets, which nobody would see
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


def run(root: Path, stage: str, which: dict[str, str | int]) -> Path:
    """Execute data/notebooks/NN_`stage`.ipynb with the settings of params.yaml; returns the executed notebook.

    `which` names further parameters of the notebook ({"system": "blsp-emo", "train_seed": 1}). Raises StudyError, one
    sentence, when settings or notebook are not as they should be, and when a cell fails.
    """
    params = read_params(root)
    scale = scale_of(params)
    settings = resolve(params, stage, scale, which.get("system"))
    _check_seeds(params)
    source = _copy_of(root, stage)
    label = "-".join(map(str, [source.stem, *which.values()]))
    injected = {"scale": scale, "settings": settings, "seed": params.get("seed"), **which}
    _check_parameters(source, injected)

    executed = root / "data" / scale / "executed" / f"{label}.ipynb"
    print(f"{label}, scale {scale}: begun", flush=True)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="blsp-") as scratch:
        running = Path(scratch) / "running.ipynb"
        ledger = Path(scratch) / "ledger"
        environment = {IN_PIPELINE: label, NOTEBOOK: str(source), LEDGER: str(ledger), **_environment(root, scratch)}
        try:
            _execute(root, source, running, injected, environment)
        except BaseException as error:
            _remove_begun(root, ledger)
            failed = _keep_failed(root, running, f"{scale}.{label}.ipynb")
            if isinstance(error, StudyError | KeyboardInterrupt):
                raise
            raise StudyError(_one_sentence(error, source, failed)) from None
        text = _dump(normalise(json.loads(running.read_text(encoding="utf-8")), root))
    executed.parent.mkdir(parents=True, exist_ok=True)
    half = executed.with_name(f".{executed.name}.half")
    half.write_text(text, encoding="utf-8")
    half.replace(executed)
    print(f"{label}, scale {scale}: done in {time.perf_counter() - begun:.0f} s", flush=True)
    return executed


def clean(root: Path, in_place: bool = False) -> list[Path]:
    """Write the clean copy of every numbered notebook to data/notebooks/ and the list of the code that it stands on to
    data/code/; `in_place` cleans the notebooks themselves."""
    notebooks = sorted((root / "notebooks").glob("*.ipynb" if in_place else "[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise StudyError(f"{root / 'notebooks'}: no notebook is there; wanted are NN_name.ipynb")
    target = root / ("notebooks" if in_place else COPIES)
    target.mkdir(parents=True, exist_ok=True)
    for stale in set(target.glob("*.ipynb")) - {target / source.name for source in notebooks}:
        stale.unlink()
    for source in notebooks:
        text = _dump(cleaned(_load(source)))
        if not (target / source.name).is_file() or (target / source.name).read_text(encoding="utf-8") != text:
            (target / source.name).write_text(text, encoding="utf-8")
    if not in_place:
        sources.write_lists(root, notebooks, root / CODE)
    return [target / source.name for source in notebooks]


def cleaned(notebook: dict) -> dict:
    """The notebook as its author wrote it: no outputs, no counts, cells named by their place, tags kept."""
    cells = []
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        source = "".join(cell["source"]).strip("\n")
        if source.strip() and INJECTED not in tags:
            kept = {"cell_type": cell["cell_type"], "id": f"cell-{len(cells) + 1:02d}"}
            kept |= {"metadata": {"tags": tags} if tags else {}, "source": source.splitlines(keepends=True)}
            kept |= {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
            kept |= {"attachments": cell["attachments"]} if cell.get("attachments") else {}
            cells.append(kept)
    return {"cells": cells, "metadata": {"kernelspec": KERNELSPEC}, "nbformat": 4, "nbformat_minor": 5}


def normalise(notebook: dict, root: Path) -> dict:
    """An executed notebook without what differs between two equal runs: times, random names, addresses, folders."""
    for number, cell in enumerate(notebook["cells"], start=1):
        tags = cell["metadata"].get("tags", [])
        cell["metadata"] = {"tags": tags} if tags else {}
        cell["id"] = INJECTED if INJECTED in tags else f"cell-{number:02d}"
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            for holder in [output, output.get("data", {})]:
                for kind in ("text", "text/plain"):
                    if kind in holder:
                        text = "".join(holder[kind])
                        for folder in (root, sys.prefix):
                            text = text.replace(f"{folder}/", "").replace(str(folder), ".")
                        holder[kind] = re.sub(r"\bat 0x[0-9a-f]{6,}", "at 0x…", text).splitlines(keepends=True)
    notebook["metadata"] = {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    return notebook


def parameters_of(notebook: dict) -> dict:
    """Names and values in the one cell tagged `parameters`. Raises StudyError unless it is one, of literals only."""
    cells = [cell for cell in notebook["cells"] if PARAMETERS in cell.get("metadata", {}).get("tags", [])]
    if len(cells) != 1:
        raise StudyError(f"{len(cells)} cells are tagged `{PARAMETERS}`; wanted is exactly one")
    found = {}
    for line in ast.parse("".join(cells[0]["source"])).body:
        try:
            (name,) = line.targets
            found[name.id] = ast.literal_eval(line.value)
        except (AttributeError, ValueError):
            raise StudyError(
                f"the cell tagged `{PARAMETERS}` holds `{ast.unparse(line)}`; only `name = literal` may stand there"
            ) from None
    return found


def _check_seeds(params: dict) -> None:
    """Systems that are not trained bear `seed`, and tables look for them among `seeds`: said before anything runs."""
    seed, seeds = params.get("seed"), params.get("seeds") or [params.get("seed")]
    if seed not in seeds:
        raise StudyError(
            f"{PARAMS}: `seed` is {seed}, `seeds` are {', '.join(map(str, seeds))}; what is not trained bears the "
            "first and is looked for among the second: put it there as well"
        )
    further = params.get("further_seeds") or []
    twice = sorted({*seeds} & {*further})
    if twice:
        raise StudyError(f"{PARAMS}: {twice[0]} is one of `seeds` and of `further_seeds`; take it out of the second")
    scale = scale_of(params)
    if further and "{seed}" in str(params["scales"][scale]):
        raise StudyError(f"{PARAMS}: at scale {scale} the seeds are folds, all of them `seeds`; set further_seeds: []")


def _copy_of(root: Path, stage: str) -> Path:
    found = sorted((root / COPIES).glob(f"[0-9][0-9]_{stage}.ipynb"))
    if len(found) != 1:
        there = ", ".join(path.stem[3:] for path in sorted((root / COPIES).glob("*.ipynb"))) or "none"
        raise StudyError(
            f"{COPIES}: {len(found)} notebooks for the stage {stage!r}; wanted is one NN_{stage}.ipynb, "
            f"there are {there}; run `dvc repro clean` if it is new"
        )
    return found[0]


def _check_parameters(source: Path, injected: dict) -> None:
    try:
        declared = parameters_of(_load(source))
    except StudyError as error:
        raise StudyError(f"notebooks/{source.name}: {error}") from None
    unknown = [name for name in injected if name not in declared]
    if unknown:
        raise StudyError(
            f"notebooks/{source.name}: its `{PARAMETERS}` cell has no {unknown[0]!r}, only {', '.join(declared)}; "
            f"add `{unknown[0]} = None` there, or do not set it"
        )


def _execute(root: Path, source: Path, running: Path, injected: dict, environment: dict[str, str]) -> None:
    sys.modules.setdefault("rfc3987_syntax", None)  # jsonschema can do without; building its grammar takes a second
    import papermill

    before, there = signal.signal(signal.SIGTERM, _stop), Path.cwd()
    os.environ["JUPYTER_RUNTIME_DIR"] = environment["JUPYTER_RUNTIME_DIR"]
    os.chdir(root)
    try:
        papermill.execute_notebook(
            str(source.relative_to(root)),
            str(running),
            parameters=injected,
            kernel_name=KERNELSPEC["name"],
            language=KERNELSPEC["language"],
            kernel_manager_class=own_kernel(environment),
            progress_bar=False,
            start_timeout=300,
            iopub_timeout=60,
        )
    finally:
        os.chdir(there)
        signal.signal(signal.SIGTERM, before)


def own_kernel(environment: dict[str, str]) -> type:
    """For papermill: a kernel of this very Python, whatever kernels are registered, with the stage's environment."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        transport = "tcp" if sys.platform == "win32" else "ipc"
        if transport == "ipc":  # sockets that no other run has: two may begin at once
            ip = str(Path(environment["JUPYTER_RUNTIME_DIR"]) / "kernel")
        kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *KERNEL_OPTIONS],
            env=environment,
            **{name: KERNELSPEC[name] for name in ("display_name", "language")},
        )

    return OwnKernel


def _environment(root: Path, scratch: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    own = {"DVC_ROOT": str(root), "PYTHONPATH": path, "IPYTHONDIR": scratch, "JUPYTER_RUNTIME_DIR": scratch}
    return {**QUIET, **own}


def _stop(*_) -> None:
    raise KeyboardInterrupt


def _remove_begun(root: Path, ledger: Path) -> None:
    """Remove what the failed notebook asked to write, as far as it lies among the study's products."""
    places = ledger.read_text(encoding="utf-8").splitlines() if ledger.is_file() else []
    for place in {Path(line) for line in places}:
        if any(place.is_relative_to(root / home) and place != root / home for home in ("data", "figures")):
            record.remove(place)


def _keep_failed(root: Path, running: Path, name: str) -> Path | None:
    if not running.is_file():
        return None
    failed = root / ".scratch" / "failed" / name
    failed.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(running, failed)
    return failed.relative_to(root)


def _one_sentence(error: BaseException, source: Path, failed: Path | None) -> str:
    """The cell's own words if it raised StudyError, else error, notebook, cell and where to look."""
    name, message = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    if name == StudyError.__name__:
        return message
    if name == "DeadKernelError":
        message = "the notebook's process was killed, most often because memory ran out"
    message = next(iter(message.strip().splitlines()), "")
    where = f"notebooks/{source.name}" + (f", cell [{error.exec_count}]" if hasattr(error, "exec_count") else "")
    return f"{where}: {name}: {message}; the full traceback is in {failed or 'none'}"


def _load(path: Path) -> dict:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(notebook["cells"], list)
    except (ValueError, KeyError, TypeError, AssertionError):
        raise StudyError(f"{path}: not a notebook of format 4; open and save it in JupyterLab") from None
    return notebook


def _dump(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
