"""The predictions of all systems by system, training seed and task, and the tables that are computed from them."""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path

import pandas as pd

from blsp_core import params as settings
from blsp_core.data.conditions import MARK
from blsp_core.errors import StudyError
from blsp_core.evaluation import intervals, metrics

MAIN, CONTROL = "blsp-emo", "control"  # the system in question; the corpus whose emotions are drawn at random
DIALOGUE = "dialogue"  # the task of the paper's figure 3
TRUE_WORDS = ("text+llm", "random+llm", "gold+llm")  # cascades without Whisper
OTHERS = (MAIN, "salmonn")  # trained by stage 2, but no variant that changes BLSP-Emo in one point
Runs = dict[int, dict[str, list[dict]]]  # training seed, or fold -> task -> rows of a predictions file
Predictions = dict[str, Runs]  # by system
Metrics = dict[str, dict[str, dict]]  # system -> task -> the figures of metrics.measure


def places(params: Mapping, level: str) -> dict[str, dict[int, str]]:
    """system -> training seed, or fold where there are folds -> "<level>/<run>", of all levels up to `level`: the
    folder of a run below evaluation/ and training/. What is not trained has the data seed and is of level core."""
    untrained = [*(params.get("systems") or {}), "probe"]
    found = {name: {params["seed"]: f"{settings.LEVELS[0]}/{name}"} for name in untrained}
    for name, run in settings.all_runs(params, level).items():
        system, label = run.get("system", name), run.get("fold", run.get("seed", params["seed"]))
        taken = found.setdefault(system, {})
        if label in taken:
            raise StudyError(
                f"params.yaml: {name} and {taken[label]} are both seed or fold {label} of {system}; give each its own"
            )
        taken[label] = f"{settings.level_of(params, name)}/{name}"
    return found


def variants(params: Mapping, level: str) -> list[str]:
    """The systems of `places` that change BLSP-Emo in one point: the rows of Tables 4 and 5."""
    runs = settings.all_runs(params, level)
    names = dict.fromkeys(run.get("system", name) for name, run in runs.items() if run["stage"] == "stage2")
    return [name for name in names if name not in OTHERS and not name.startswith("share-")]


def read_predictions(folder: str | Path, systems: Mapping[str, Mapping[int, str]]) -> Predictions:
    """The predictions of `systems`, as of `places`, below <folder>/evaluation. Raises StudyError when some are not
    there."""
    files = {
        name: {label: Path(folder) / "evaluation" / place / "predictions.jsonl" for label, place in runs.items()}
        for name, runs in systems.items()
    }
    missing = [path for runs in files.values() for path in runs.values() if not path.is_file()]
    if missing or not files:
        levels = {path.parts[-3] for path in missing}
        where = next((f" {level}/dvc.yaml" for level in ("extra", "full") if level in levels), "")
        raise StudyError(
            f"{folder}/evaluation: no predictions of {', '.join(path.parts[-2] for path in missing) or 'any system'}; "
            f"`dvc repro{where}` makes them"
        )
    read = metrics.read_predictions
    return {name: {label: read(path) for label, path in runs.items()} for name, runs in files.items()}


def corpus_of(task: str, rows: list[dict], corpora: Iterable[str]) -> str | None:
    """Which of the corpora a task is about: named by the task, or in the ids of its utterances; None for none."""
    if task.startswith("ser."):
        name = task.removeprefix("ser.")
        return name if name in corpora else None
    fitting = [corpus for corpus in corpora if rows and rows[0]["id"].startswith(f"{corpus}-")]
    return max(fitting, key=len, default=None)


def of_task(runs: Runs, task: str) -> list[list[dict]]:
    """The rows of one task, run by run; a run that lacks it is left out."""
    return [tasks[task] for _, tasks in sorted(runs.items()) if tasks.get(task)]


def tasks_of(runs: Runs) -> list[str]:
    """The tasks that every run of a system has answered and that are scored, in order, but those on altered clips."""
    first, *others = runs.values()
    scored = [task for task in first if MARK not in task and metrics.is_scored(first[task])]
    return [task for task in scored if all(task in tasks for tasks in others)]


def paired(first: Runs, second: Runs, task: str) -> tuple[list[list[dict]], list[list[dict]]] | None:
    """The runs of two systems on a task that are compared, None when either lacks it or has no scores for it.

    A system with a single run is compared with every run of the other; else runs of equal seeds are.
    """
    sides = [
        {seed: tasks[task] for seed, tasks in sorted(runs.items()) if metrics.is_scored(tasks.get(task, []))}
        for runs in (first, second)
    ]
    if not all(sides):
        return None
    if min(len(metrics.folds_as_one([*side.values()])) for side in sides) > 1:
        common = [seed for seed in sides[0] if seed in sides[1]]
        if not common:
            raise StudyError(f"{task}: two systems were trained at seeds of which none is common; train both at one")
        sides = [{seed: side[seed] for seed in common} for side in sides]
    return metrics.aligned(*([*side.values()] for side in sides))


def measure_all(predictions: Predictions, word_errors: Mapping[str, float] | None = None) -> Metrics:
    """The figures of every system on every scored task over its training runs; the showcase is for people to read.

    word_errors: by corpus, of Whisper; the figures of a system that reads its transcripts then have `wer`, {corpus:
    rate} for the corpus of the task.
    """
    found: Metrics = {system: {} for system in predictions}
    for system, runs in predictions.items():
        for task in (task for task in tasks_of(runs) if task != "showcase"):
            rows = of_task(runs, task)
            figures = found[system][task] = metrics.measure(rows)
            corpus = corpus_of(task, rows[0], word_errors or {})
            if system.endswith("+llm") and system not in TRUE_WORDS and corpus:
                figures["wer"] = {corpus: word_errors[corpus]}
    return found


def against_all(predictions: Predictions, judge=None) -> dict[str, dict]:
    """Preference rates of BLSP-Emo against every other system in the dialogues that both answered, by
    "blsp-emo.vs.<baseline>"; beside them `preference`, wins less losses, and its `interval`. Empty where it answered
    none, or without a judge."""
    found = {}
    for baseline in predictions if judge and MAIN in predictions else ():
        sets = paired(predictions[MAIN], predictions[baseline], DIALOGUE)
        if baseline != MAIN and sets:
            outcomes, clusters = metrics.preferences(*sets, judge)
            net = metrics.estimate_preference(outcomes, clusters)
            rates = metrics.preference_rates(outcomes) | {"preference": net.value, "interval": net.interval}
            found[f"{MAIN}.vs.{baseline}"] = rates
    return found


def measures(predictions: Predictions) -> list[tuple[str, str, str]]:
    """What variants are compared by, as (task, metric, the two for a reader): accuracy on each corpus, quality and
    empathy of replies."""
    tasks = [task for task in tasks_of(predictions[MAIN]) if task not in (f"ser.{CONTROL}", "showcase", DIALOGUE)]
    recognised = [(task, "wa", task.removeprefix("ser.")) for task in tasks if task.startswith("ser.")]
    return recognised + [(t, name, name) for t in tasks if not t.startswith("ser.") for name in ("quality", "empathy")]


def differences(predictions: Predictions, variants: Iterable[str]) -> pd.DataFrame:
    """Every variant less BLSP-Emo by every measure, at each training seed that both have and over all of them ("all").
    A variant that was trained once is compared with each run of BLSP-Emo.

    Columns: seed, variant, task, metric, measure (the two for a reader), value (the variant's figure), whole
    (BLSP-Emo's), difference with low and high (paired, 95 %), p (two-sided), runs, n, clusters and p_holm (adjusted
    over all comparisons at that seed, variants and measures together). What a variant was not asked is left out.
    """
    rows = []
    for variant, (task, metric, measure) in product(variants, measures(predictions)):
        both = [predictions[name] for name in (variant, MAIN)]
        sides = paired(*both, task)
        if sides is None:
            continue
        single = min(both, key=len) if min(map(len, both)) == 1 else {}
        seeds = sorted(set(max(both, key=len)) if single else set(both[0]) & set(both[1]))
        each = [(str(seed), [[own.get(seed, *single.values())[task]] for own in both]) for seed in seeds]
        for at, (ones, others) in [("all", sides), *each]:
            found = metrics.compare([(ones, others)], metric)
            value, whole = (sum(metrics.figure(run, metric) for run in runs) / len(runs) for runs in (ones, others))
            rows.append(
                (at, variant, task, metric, measure, value, whole, found.value, found.low, found.high, found.p)
                + (len(found.runs), found.n, found.clusters)
            )
    columns = "seed variant task metric measure value whole difference low high p runs n clusters".split()
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(p_holm=frame.groupby("seed")["p"].transform(lambda ps: intervals.holm(list(ps))))


def learning_curve(predictions: Predictions) -> pd.DataFrame:
    """BLSP-Emo and the runs `share-<per cent>`, trained on that share of the labelled clips, by every measure.

    Columns: share, task, metric, measure, value, low, high, sd (over training runs), runs. Empty without such a run.
    """
    shares = {name: int(part) / 100 for name in predictions if (part := name.removeprefix("share-")).isdigit()}
    shares |= {MAIN: 1.0} if shares else {}
    rows = []
    for (name, share), (task, metric, measure) in product(shares.items(), measures(predictions) if shares else ()):
        if runs := of_task(predictions[name], task):
            found = metrics.estimate(runs, metric)
            figures = found.value, found.low, found.high, found.sd, len(found.runs)
            rows.append((share, task, metric, measure, *figures))
    return pd.DataFrame(rows, columns="share task metric measure value low high sd runs".split())
