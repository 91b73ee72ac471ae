"""The products of the pipeline as the analyses read them: predictions and results by system, training seed and task."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.evaluation import intervals as statistics
from blsp_core.evaluation import metrics as judging
from blsp_core.report.style import in_order

Runs = dict[int, dict[str, list[dict]]]  # training seed -> task -> rows of a predictions file
Predictions = dict[str, Runs]  # by system
SeedsOf = Callable[[str], Iterable[int]]  # of a system's name, see `notebook.Study.seeds_of`
Metrics = dict[str, dict[str, dict]]  # system -> task -> the figures of judging.measure


def seed_files(folder: str | Path, seeds: Iterable[int], suffix: str) -> dict[int, Path]:
    """The files seed<n>`suffix` of a folder that are there, of these seeds; others are what an earlier study left."""
    places = {seed: Path(folder) / f"seed{seed}{suffix}" for seed in seeds}
    return {seed: place for seed, place in places.items() if place.is_file()}


def read_predictions(folder: str | Path, seeds_of: SeedsOf, systems: Iterable[str] | None = None) -> Predictions:
    """The answers of systems, from <folder>/<system>/seed<n>.jsonl, in the order of every table.

    systems: None for all that are there. A system that is not trained has only the first seed. Raises StudyError when
    a system has no predictions, or there is none at all.
    """
    folder = Path(folder)
    there = [place.name for place in folder.iterdir() if place.is_dir()] if folder.is_dir() else []
    names = in_order(there if systems is None else systems)
    found = {name: seed_files(folder / name, seeds_of(name), ".jsonl") for name in names}
    if systems is None:
        found = {name: files for name, files in found.items() if files}  # what an earlier study has left
    missing = [name for name, files in found.items() if not files]
    if missing or not found:
        wanted = ", ".join(f"{name} at any of the seeds {[*seeds_of(name)]}" for name in missing) or "any system"
        raise StudyError(f"{folder}: no predictions of {wanted}; run `dvc repro` up to evaluate")
    return {
        name: {seed: judging.read_predictions(file) for seed, file in files.items()} for name, files in found.items()
    }


def of_task(runs: Runs, task: str) -> list[list[dict]]:
    """The rows of one task, run by run; empty where a run has none."""
    return [tasks[task] for _, tasks in sorted(runs.items()) if tasks.get(task)]


def paired(first: Runs, second: Runs, task: str) -> tuple[list[list[dict]], list[list[dict]]] | None:
    """The runs of two systems on a task that are to be compared, None when either lacks it.

    A system with a single run meets every run of the other; else those at the same seeds meet.
    """
    sides = [{seed: tasks[task] for seed, tasks in runs.items() if tasks.get(task)} for runs in (first, second)]
    if not all(sides):
        return None
    if min(len(side) for side in sides) > 1:
        common = sorted(set(sides[0]) & set(sides[1]))
        sides = [{seed: side[seed] for seed in common} for side in sides]
        if not common:
            raise StudyError(f"{task}: two systems were trained at seeds of which none is common; train both at one")
    return judging.aligned(*([side[seed] for seed in sorted(side)] for side in sides))


def tasks_of(runs: Runs) -> list[str]:
    """The tasks that every run of a system has answered, in order."""
    first, *others = runs.values()
    return [task for task in first if all(task in tasks for tasks in others)]


def rows_of(predictions: Predictions) -> dict[str, dict[str, list[dict]]]:
    """system -> task -> rows of all runs in turn, each with its `seed`: for pictures, which count and do not test."""
    found: dict[str, dict[str, list[dict]]] = {}
    for system, runs in predictions.items():
        tasks = found.setdefault(system, {})
        for seed, of_run in sorted(runs.items()):
            for task, rows in of_run.items():
                tasks.setdefault(task, []).extend(row | {"seed": seed} for row in rows)
    return found


def measure_all(predictions: Predictions, draws: int = statistics.DRAWS, seed: int = 0) -> Metrics:
    """The figures of every system on every task over its training runs; the showcase is for people, and left out."""
    return {
        system: {
            task: judging.measure(of_task(runs, task), draws, seed) for task in tasks_of(runs) if task != "showcase"
        }
        for system, runs in predictions.items()
    }


def read_figures(path: str | Path) -> dict:
    """The figures of one results file, without the record of its run."""
    return {name: figures for name, figures in _read(path).items() if name != "run"}


def read_run(path: str | Path) -> dict:
    """How a results file was made: stage, settings, versions, hardware, seconds, peak memory."""
    return _read(path)["run"]


def read_runs(folder: str | Path, seeds_of: SeedsOf, names: Iterable[str]) -> list[dict]:
    """The record of every run of a stage below results/, but for the paper's own.

    names: the systems and models whose results count; others, and other seeds, are what an earlier study has left.
    """
    folder, stages = Path(folder), [path for path in Path(folder).glob("*.json") if path.name != "paper.json"]
    places = [folder / kind / name for kind in ("training", "systems") for name in names]
    files = sorted(stages) + [
        file for place in places for file in seed_files(place, seeds_of(place.name), ".json").values()
    ]
    contents = [_read(file) for file in files]
    return [content["run"] for content in contents if isinstance(content, dict) and "run" in content]


def read_training(folder: str | Path, seeds: Iterable[int]) -> dict[int, dict]:
    """The results of one system's training, results/training/<name>/seed<n>.json, by seed."""
    return {seed: _read(path) for seed, path in seed_files(folder, seeds, ".json").items()}


def _read(path: str | Path) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))
