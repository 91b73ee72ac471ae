"""The study as a notebook sees it: where to read, where to write, with which settings; and the notebook runner's door.

    study = notebook.start("stage1", scale, settings, seed)

In the pipeline (`python -m blsp_core.study.notebook run stage1`) the runner hands the notebook its scale, settings and
seed, and `study.write` gives the real places. Opened by hand in JupyterLab the same notebook reads them from
params.yaml, reads the pipeline's data and writes under .scratch/by-hand/, so that nothing the pipeline tracks changes.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.study import record, sources
from blsp_core.study.settings import AGAIN, PARAMS, Settings, at_seeds, overlay, read_params, resolve, scale_of

IN_PIPELINE = "BLSP_STAGE"  # environment of a notebook that the runner runs: the stage's label,
NOTEBOOK = "BLSP_NOTEBOOK"  # its notebook,
LEDGER = "BLSP_LEDGER"  # and the file in which it notes what it is about to write
WRITERS = {  # a place in data/<scale>/ -> the pipeline's stage that fills it; the first that fits
    r"corpora|manifests": "data",
    r"models/seed(\d+)/(blsp|released-kl)(?=/|$)": r"stage1@\2-\1",
    r"models/seed(\d+)/([^/]+\+llm)": r"classifier@\2-\1",
    r"models/seed(\d+)/([^/]+)": r"stage2@\2-\1",
    r"predictions|results/(systems|training)": "evaluate",
    r"results/(summary|claims|controls)": "paper",
    r"(?:results/)?(\w+)": r"\1",  # foundation, continuations; results bear the names of their stages
}


def start(
    stage: str,
    scale: str | None = None,
    settings: Mapping | None = None,
    seed: int | None = None,
    train_seed: int | None = None,
    **which: str,
) -> "Study":
    """Begin a notebook of `stage`, which is also the section of params.yaml that its settings come from.

    What is None is as params.yaml says. By hand, `settings` may name just the ones to change. Several runs of one
    notebook are told apart by `train_seed`, one of `seeds` (None: the first) or `further_seeds`, and `which`:
    system="blsp-emo", whose own settings are laid over.
    """
    root = find_root()
    params = read_params(root)
    scale = scale_of(params, scale)
    if settings is None or not os.environ.get(IN_PIPELINE):
        section = resolve(params, stage, scale, which.get("system"))
        settings = overlay(section, {"the notebook's `settings`": settings or {}}, stage)
    seed = params.get("seed") if seed is None else seed
    if not isinstance(seed, int):
        raise StudyError(f"{PARAMS}: `seed` is {seed!r}; wanted is a whole number")
    seeds = params.get("seeds") or [seed]
    which |= {} if train_seed is None else {"train_seed": train_seed}
    untrained = [None, *(params.get("cascades") or ()), *(params.get("external") or ())]
    settings = at_seeds(settings, seeds if which.get("system") in untrained else [which.get("train_seed", seeds[0])])
    return Study(root, stage, scale, Settings(stage, settings), seed, seeds, which, params)


class Study:
    """One run of one notebook. `scale`, `settings` (by attribute), the methods below, and the seeds: `seed` made the
    world, `train_seed` is that of what is trained in it, one of `seeds`, or of `further_seeds` in params.yaml."""

    def __init__(
        self,
        root: Path,
        stage: str,
        scale: str,
        settings: Settings,
        seed: int,
        seeds: list[int],
        which: dict,
        params: dict,
    ):
        self.root, self.stage, self.scale, self.settings, self.seed = root, stage, scale, settings, seed
        self.which, self.seeds = which, seeds  # which: {"system": ..., "train_seed": ...}, one of them, or nothing
        self.train_seed: int = which.get("train_seed", seeds[0])
        self.params = params
        self.by_hand = not os.environ.get(IN_PIPELINE)
        self._started = time.perf_counter()
        self._read: set[Path] = set()
        self._written: set[Path] = set()

    def __repr__(self) -> str:
        which = "".join(f", {name} {value}" for name, value in self.which.items())
        return f"<{self.stage} at scale {self.scale}, seed {self.seed}{which}>"

    def seeds_of(self, system: str) -> list[int]:
        """The seeds at which a system is trained: those of the study, of stage 1 and BLSP-Emo the further ones too."""
        return [*self.seeds, *(self._further if system in AGAIN else ())]

    def read(self, path: str) -> Path:
        """What the pipeline has put at data/<scale>/`path`. Raises StudyError, naming the stage to run, if nothing."""
        place = self.root / "data" / self.scale / path
        if not place.exists():
            writer = next((found.expand(stage) for at, stage in WRITERS.items() if (found := re.match(at, path))), "")
            if writer.endswith(tuple(f"@{name}-{seed}" for name in AGAIN for seed in self._further)):
                writer = writer.replace("@", "_again@")
            raise StudyError(
                f"{place.relative_to(self.root)} is not there yet; run `dvc repro {writer}` at scale {self.scale}"
            )
        self._read.add(place)
        return place

    def write(self, path: str) -> Path:
        """Where to put a product that belongs at data/<scale>/`path`; its parent folder exists.

        In the pipeline the place is empty when first asked for: no product mixes with that of an earlier run.
        """
        return self._place(Path("data") / self.scale / path, Path(path))

    def figures(self, name: str) -> Path:
        """Where to put a figure or table that belongs at figures/<scale>/<stage>/`name`; its parent folder exists.

        What stands above the stages is "../name".
        """
        place = Path(os.path.normpath(Path(self.stage) / name))
        return self._place(Path("figures") / self.scale / place, Path("figures") / place)

    def write_json(self, path: str, value) -> Path:
        """Write `value` as JSON to data/<scale>/`path`, whole or not at all."""
        return record.write_json(self.write(path), value)

    def record(self, name: str, figures: Mapping) -> None:
        """The last cell of a notebook: results/`name` says what was run, on what, at what cost, then the figures."""
        run = {"stage": self.stage, **self.which, "scale": self.scale, "seed": self.seed}
        run |= {"settings": vars(self.settings), "versions": record.versions(), "hardware": record.hardware()}
        run |= {"seconds": round(time.perf_counter() - self._started, 1), **record.peak_memory()}
        self.write_json(f"results/{name}", {"run": run, **figures})
        record.remove(self._checkpoints_of_stage)

    @cached_property
    def checkpoints(self) -> Path:
        """A folder for unfinished work, outside the pipeline; ask for it after every `read`.

        It is found again only by a run of the same settings, seed, code and inputs (by size and time of change):
        work begun on other terms is never gone on with. `record` removes it.
        """
        folder = self._checkpoints_of_stage / self._terms(self.train_seed)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def shared(self) -> Path:
        """A place for finished work that serves all training seeds, outside the pipeline; ask for it after every
        `read`. On the same terms as `checkpoints`, but for the seed; see `sharing`."""
        base = self._by_hand_folder if self.by_hand else self.root / ".scratch"
        name = "-".join([self.scale, self.stage, self.which.get("system", ""), self._terms(None)])
        return base / "shared" / name

    def _terms(self, train_seed: int | None) -> str:
        """A digest of all that the work depends on."""
        terms = hashlib.sha256(
            json.dumps([vars(self.settings), self.seed, train_seed], sort_keys=True, default=str).encode()
        )
        for path in _loaded_code() + ([Path(os.environ[NOTEBOOK])] if NOTEBOOK in os.environ else []):
            terms.update(path.read_bytes())
        for place in sorted(self._read):
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                state = path.stat()
                terms.update(f"{path.relative_to(self.root)} {state.st_size} {state.st_mtime_ns}".encode())
        return terms.hexdigest()[:12]

    @property
    def _further(self) -> list[int]:
        return self.params.get("further_seeds") or []

    @property
    def _checkpoints_of_stage(self) -> Path:
        base = self._by_hand_folder / "checkpoints" if self.by_hand else self.root / ".scratch/checkpoints" / self.scale
        return base / "-".join(map(str, [self.stage, *self.which.values()]))

    @property
    def _by_hand_folder(self) -> Path:
        return self.root / ".scratch" / "by-hand" / self.scale

    def _place(self, in_pipeline: Path, by_hand: Path) -> Path:
        place = self._by_hand_folder / by_hand if self.by_hand else self.root / in_pipeline
        place.parent.mkdir(parents=True, exist_ok=True)
        if not self.by_hand and not any(written.is_relative_to(place) for written in self._written):
            record.remove(place)
            with open(os.environ[LEDGER], "a", encoding="utf-8") as ledger:
                ledger.write(f"{place}\n")
        self._written.add(place)
        return place


def find_root() -> Path:
    """The study's folder: the one DVC runs in, else the one around the current folder, else the package's own."""
    package = Path(__file__).resolve().parents[2]
    pipeline = [Path(os.environ["DVC_ROOT"])] if "DVC_ROOT" in os.environ else []
    for folder in [*pipeline, Path.cwd(), *Path.cwd().parents, package]:
        if (folder / PARAMS).is_file() and (folder / "notebooks").is_dir():
            return folder.resolve()
    raise StudyError(f"no study here: {Path.cwd()} is not within a folder that holds {PARAMS} and notebooks/; go there")


def _loaded_code() -> list[Path]:
    """The files of this package that the notebook has imported, but for those that only run notebooks or only show."""
    spared = {f"{sources.PACKAGE}.{name.replace('/', '.')}" for name in sources.RUNNING | sources.SHOWING}
    loaded = [module for name, module in sys.modules.items() if name.startswith(sources.PACKAGE) and name not in spared]
    return sorted({Path(module.__file__) for module in loaded if getattr(module, "__file__", None)})


def main(arguments: list[str] | None = None) -> int:
    """The command line of the pipeline; a user's error is one sentence on stderr and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m blsp_core.study.notebook", description="Run the study's notebooks."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="execute data/notebooks/NN_STAGE.ipynb as a stage of the pipeline")
    run.add_argument("stage")
    run.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a parameter of the notebook")
    clean = commands.add_parser("clean", help="make data/notebooks/ from notebooks/: no outputs, no counts")
    clean.add_argument("--in-place", action="store_true", help="clean notebooks/ itself, before a commit")
    given = parser.parse_args(arguments)

    from blsp_core.study import runner

    try:
        if given.command == "clean":
            runner.clean(find_root(), in_place=given.in_place)
        else:
            which = dict(pair.partition("=")[::2] for pair in given.set)
            runner.run(find_root(), given.stage, {name: int(v) if v.isdigit() else v for name, v in which.items()})
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `dvc repro` goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
