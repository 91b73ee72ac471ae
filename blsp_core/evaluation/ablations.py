"""The variants of stage 2 against BLSP-Emo itself, and how much emotional speech it needs."""

from collections.abc import Iterable

import pandas as pd

from blsp_core.evaluation import intervals as statistics
from blsp_core.evaluation import metrics as judging
from blsp_core.evaluation.paper_claims import CONTROL
from blsp_core.evaluation.results import Predictions, of_task, paired, tasks_of
from blsp_core.report.style import MAIN

REPLIES = ("quality", "empathy")
COLUMNS = (
    "seed", "variant", "task", "metric", "measure", "value", "whole", "difference", "low", "high", "p", "runs", "n",
    "clusters",
)  # fmt: skip
APART = (MAIN, "salmonn")  # made by stage 2 as well, but no change of BLSP-Emo


def measures(predictions: Predictions) -> list[tuple[str, str]]:
    """What BLSP-Emo was measured by, as (task, metric): accuracy on each corpus, quality and empathy of replies."""
    tasks = [task for task in tasks_of(predictions[MAIN]) if task not in (f"ser.{CONTROL}", "showcase", "dialogue")]
    return [(task, metric) for task in tasks for metric in (("wa",) if task.startswith("ser.") else REPLIES)]


def differences(
    predictions: Predictions, variants: Iterable[str], draws: int = statistics.DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Every variant less BLSP-Emo by every measure, at each training seed that both have and over all of them ("all").
    A variant that was trained once meets each run of BLSP-Emo.

    Columns: seed, variant, task, metric, measure (the two for a reader), value (the variant's figure), whole
    (BLSP-Emo's), difference with low and high (paired, 95 %), p (two-sided), p_holm (adjusted over all comparisons at
    that seed, variants and measures together), runs, n and clusters. What a variant was not asked is left out.
    """
    rows = []
    for variant in variants:
        for task, metric in measures(predictions):
            sides = paired(predictions[variant], predictions[MAIN], task)
            if sides is None:
                continue
            both = [predictions[name] for name in (variant, MAIN)]
            single = min(both, key=len) if min(map(len, both)) == 1 else {}  # meets each run of the other
            seeds = sorted(set(max(both, key=len)) if single else set(both[0]) & set(both[1]))
            each = [(str(s), [[own.get(s, *single.values())[task]] for own in both]) for s in seeds]
            for at, (ones, others) in [("all", sides), *each]:
                found = judging.compare(ones, others, metric, draws, seed)
                own, whole = (_mean(runs, metric) for runs in (ones, others))
                rows.append(
                    {
                        "seed": at, "variant": variant, "task": task, "metric": metric, "measure": _title(task, metric),
                        "value": own, "whole": whole, "difference": found.value, "low": found.low, "high": found.high,
                        "p": found.p, "runs": len(found.runs), "n": found.n, "clusters": found.clusters,
                    }
                )  # fmt: skip
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.assign(p_holm=frame.groupby("seed")["p"].transform(lambda ps: statistics.holm(list(ps))))


def changed(names: Iterable[str]) -> list[str]:
    """Of the names of all runs of stage 2 those that change BLSP-Emo in one point: the rows of Tables 4 and 5."""
    return [name for name in names if name not in APART and not name.startswith("share-")]


def learning_curve(predictions: Predictions, draws: int = statistics.DRAWS, seed: int = 0) -> pd.DataFrame:
    """BLSP-Emo and the runs `share-<per cent>`, trained on that share of the emotional corpora, by every measure.

    Columns: share (of the data), task, metric, measure, value, low, high, sd (over training runs), runs. Empty unless
    there is a run on less than the whole.
    """
    shares = {name: int(part) / 100 for name in predictions if (part := name.removeprefix("share-")).isdigit()}
    rows = []
    for name, share in {**shares, MAIN: 1.0}.items() if shares else []:
        for task, metric in measures(predictions):
            runs = of_task(predictions[name], task)
            if runs:
                found = judging.estimate(runs, metric, draws, seed)
                rows.append(
                    {
                        "share": share, "task": task, "metric": metric, "measure": _title(task, metric),
                        "value": found.value, "low": found.low, "high": found.high, "sd": found.sd,
                        "runs": len(found.runs),
                    }
                )  # fmt: skip
    columns = ["share", "task", "metric", "measure", "value", "low", "high", "sd", "runs"]
    return pd.DataFrame(rows, columns=columns)


def _title(task: str, metric: str) -> str:
    return task.removeprefix("ser.") if metric == "wa" else metric


def _mean(runs: list[list[dict]], metric: str) -> float:
    return sum(judging.figure(rows, metric) for rows in runs) / len(runs)
