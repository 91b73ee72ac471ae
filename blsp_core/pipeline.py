"""The pipeline as a notebook sees it: paths, settings, records; and the command that DVC runs for every stage.

    study = pipeline.start("stage2", run="blsp-emo")

In the pipeline (`python -m blsp_core.pipeline run stage2 --run blsp-emo`) `study.write` gives the places that
dvc.yaml declares. Interactively, in JupyterLab, the same notebook reads the pipeline's data and writes to
.scratch/interactive/, so that nothing DVC tracks changes.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil

from blsp_core import record
from blsp_core.errors import StudyError
from blsp_core.notebooks import KERNEL, clean, publish, write_page
from blsp_core.params import LEVELS, PARAMS, all_runs, find_root, level_of, read_params, resolve, set_scale

ENVIRONMENT = {  # of a stage: reproducible hashes and dates, no network reports, no progress bars made of characters
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "0",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONWARNINGS": "ignore",
}


def start(section: str, run: str | None = None, changes: Mapping | None = None) -> "Study":
    """Begin a notebook. section: of params.yaml; run: one of `runs` or `systems`; changes: settings to try by hand."""
    root = find_root()
    params = read_params(root)
    settings = resolve(params, section, run, changes=changes)
    return Study(root, section, run, params, SimpleNamespace(**settings))


class Study:
    """One execution of one notebook: `scale`, `settings` (by attribute), `seed` (of the data), `train_seed`, paths."""

    def __init__(self, root: Path, section: str, run: str | None, params: dict, settings: SimpleNamespace):
        self.root, self.section, self.run, self.params, self.settings = root, section, run, params, settings
        self.scale, self.seed = params["scale"], params["seed"]
        own = all_runs(params).get(run, {}).get("seed")  # runs of one seed draw other numbers in every world
        self.train_seed = self.seed if own is None else (1000 * self.seed + own) % 2**32
        self.level = level_of(params, run) if run else LEVELS[0]
        self.interactive = "BLSP_STAGE" not in os.environ
        self.folder = root / "data" / self.scale  # what the pipeline has made; sound lies relative to it
        self._started, self._read = float(os.environ.get("BLSP_BEGUN", time.time())), set()

    def __repr__(self) -> str:
        return f"<{self.section} {self.run or ''} at scale {self.scale}, data seed {self.seed}>"

    def read(self, path: str) -> Path:
        """data/<scale>/`path`. Raises StudyError when the pipeline has not made it."""
        place = self.folder / path
        if not place.exists():
            others = sorted(other.name for other in place.parent.glob(f"*{place.suffix}")) if place.suffix else []
            if others:
                known = ", ".join(others[:20])
                raise StudyError(f"{place} is not there; there are {known}: correct the name in {PARAMS}")
            raise StudyError(f"{os.path.relpath(place, self.root)} does not exist yet; `dvc repro` makes it")
        self._read.add(place)
        return place

    def write(self, path: str) -> Path:
        """Where to put a product that belongs at data/<scale>/`path`; its parent folder exists."""
        return self._place(self._interactive / path if self.interactive else self.folder / path)

    def figures(self, path: str) -> Path:
        """Where to put a figure or table that belongs at figures/<scale>/`path`; its parent folder exists."""
        home = self._interactive / "figures" if self.interactive else self.root / "figures" / self.scale
        return self._place(home / path)

    def record(self, path: str, figures: Mapping) -> None:
        """The last cell of a notebook: a JSON of what was run, on what, at what cost, and the figures."""
        run = {"section": self.section, "run": self.run, "scale": self.scale, "seed": self.seed}
        run |= {"train_seed": self.train_seed, "settings": vars(self.settings), "versions": record.versions()}
        run |= {"hardware": record.hardware(), "seconds": round(time.time() - self._started, 1)}
        record.write_json(self.write(path), {"run": run | record.peak_memory(), **figures})
        shutil.rmtree(self._unfinished, ignore_errors=True)

    @property
    def checkpoints(self) -> Path:
        """A folder for unfinished work, outside the pipeline; ask for it after every `read`. A later start finds it
        again with equal settings, seeds, code and inputs (by size and time of change); `record` removes it."""
        terms = [vars(self.settings), self.seed, self.train_seed]
        digest = hashlib.sha256(json.dumps(terms, sort_keys=True, default=str).encode())
        modules = [module for name, module in sys.modules.items() if name.startswith("blsp_core.")]
        for path in sorted({module.__file__ for module in modules if getattr(module, "__file__", None)}):
            place = Path(path).relative_to(Path(__file__).parent)
            digest.update(b"" if place.parts[0] == "report" or path == __file__ else Path(path).read_bytes())
        for place in sorted(self._read):
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                state = path.stat()
                digest.update(f"{path.relative_to(self.root)} {state.st_size} {state.st_mtime_ns}".encode())
        return self._place(self._unfinished / digest.hexdigest()[:12] / "x").parent

    @property
    def _interactive(self) -> Path:
        return self.root / ".scratch/interactive" / self.scale

    @property
    def _unfinished(self) -> Path:
        base = self._interactive if self.interactive else self.root / ".scratch" / self.scale
        return base / "checkpoints" / f"{self.section}-{self.run or 'all'}"

    def _place(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def run_notebook(root: Path, name: str, parameters: Mapping[str, str]) -> None:
    """Execute data/notebooks/`name`.ipynb as a stage of the pipeline; its output appears as it is printed.

    Raises StudyError, one sentence, when a cell fails; the notebook as far as it came is in data/<scale>/executed/.
    """
    import papermill
    from jupyter_client.manager import AsyncKernelManager

    source, label = root / "data/notebooks" / f"{name}.ipynb", "-".join([name, *parameters.values()])
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in source.parent.glob("*.ipynb"))) or "none: `dvc repro clean`"
        raise StudyError(f"{source} is not there; there are {known}")
    executed = root / "data" / read_params(root)["scale"] / "executed" / f"{label}.ipynb"
    executed.parent.mkdir(parents=True, exist_ok=True)
    begun = psutil.Process().create_time()  # a stage's cost includes its start
    os.environ |= {"BLSP_STAGE": label, "BLSP_BEGUN": str(begun), **ENVIRONMENT}
    sockets = tempfile.TemporaryDirectory(prefix="blsp-")

    class Kernel(AsyncKernelManager):  # sockets of its own: two stages that start at once may draw the same TCP port
        transport = "ipc"
        ip = f"{sockets.name}/kernel"
        connection_file = f"{sockets.name}/kernel.json"

    try:
        papermill.execute_notebook(
            str(source), str(executed), parameters=dict(parameters), kernel_name=KERNEL["name"], language="python",
            kernel_manager_class=Kernel, progress_bar=False, stdout_file=sys.stdout, stderr_file=sys.stderr,
            request_save_on_cell_execute=False, autosave_cell_every=0,
            extra_arguments=["--HistoryManager.enabled=False", "--Application.log_level=CRITICAL"],
        )  # fmt: skip
    except Exception as error:
        kind, said = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error)).strip()
        if kind == StudyError.__name__:
            raise StudyError(said) from None
        if kind == "DeadKernelError":
            said = "the notebook's process was killed, most often because memory ran out"
        where = executed.relative_to(root)
        first = next(iter(said.splitlines()), "no message")  # a bare assert has none
        raise StudyError(f"notebook {name}: {kind}: {first}; the traceback is in {where}") from None
    if "level" in parameters:  # a report, or ablations
        shown = root / "figures" / executed.parts[-3] / (parameters["level"] if name == "report" else name)
        write_page(executed, shown / f"{name}.html")
        if parameters["level"] == LEVELS[0]:
            publish(root, executed.parent, shown / "notebooks")
    print(f"{label}: {time.time() - begun:.0f} s", flush=True)


def _end_with_dvc() -> None:
    """Interrupt this stage as soon as the DVC that runs it, or the `blsp-repro` above that, is gone, even by `kill -9`:
    its kernel would go on writing beside the next run."""
    parent, above = os.getppid(), int(os.environ.get("BLSP_REPRO", os.getppid()))

    def watch() -> None:
        while os.getppid() == parent and psutil.pid_exists(above):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    if "DVC_STAGE" in os.environ:
        threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """The command line; a user's error is one sentence on stderr and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m blsp_core.pipeline", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="execute a notebook as a stage of the pipeline")
    run.add_argument("notebook", help="its name without the number, as stage2")
    run.add_argument("--run", help="which run of params.yaml")
    run.add_argument("--level", choices=LEVELS, help="which group of runs a report shows")
    clean_ = commands.add_parser("clean", help="copy the notebooks without outputs to data/notebooks/")
    clean_.add_argument("--in-place", action="store_true", help="clean notebooks/ itself, before a commit")
    commands.add_parser("scale", help="write the values of a scale into params.yaml").add_argument("scale")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # papermill then ends the kernel, too
    try:
        root = find_root()
        if given.command == "clean":
            clean(root, given.in_place)
        elif given.command == "scale":
            set_scale(root, given.scale)
            print(
                f"{PARAMS} is at scale {given.scale}; `git checkout {PARAMS}` goes back, and undoes your own edits too"
            )
        else:
            _end_with_dvc()
            chosen = {"run": given.run, "level": given.level}
            run_notebook(root, given.notebook, {name: value for name, value in chosen.items() if value})
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # a folder that cannot be written, a full disk
        print(f"{error.filename or 'data'}: {error.strerror}; nothing more was written", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `dvc repro` resumes from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
