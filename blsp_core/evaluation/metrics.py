"""From responses to figures: emotions and marks are read from each response, then averaged, and systems are compared.

Replies are scored by a judge, see `judges`; without one they have no marks and no figures.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blsp_core.data.emotions import EMOTIONS, parse_emotion
from blsp_core.data.manifest import Utterance, read_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import intervals
from blsp_core.evaluation.intervals import Estimate
from blsp_core.evaluation.judges import FLIPPED, LOSS, TIE, WIN, Asked
from blsp_core.evaluation.tasks import Task

UNPARSED = "unparsed"
NAMING, REPLYING = ("wa", "ua", "f1", "unparsed"), ("quality", "empathy", "well_formed", "unjudged")
WORTH = {
    "preference": {WIN: 1.0, TIE: 0.0, FLIPPED: 0.0, LOSS: -1.0},
    "unbeaten": {WIN: 0.5, TIE: 0.5, FLIPPED: 0.5, LOSS: -0.5},
}
Rows = list[dict]  # the predictions of one run on one task
Outcomes = list[list[str | None]]  # of every training run, the outcome of every dialogue, in one order


def judge(task: Task, system: str, utterances: list[Utterance], responses: list[str], judge_of_replies=None) -> Rows:
    """One row of predictions.jsonl per utterance: the prompt, the response, and what was read from it.

    `text` (what was said, all turns of the user) and `speaker` are kept because standard errors cluster by them; the
    row of a dialogue has its `turns`, (role, words) each.
    """
    if len(utterances) != len(responses):
        raise StudyError(
            f"{system} gave {len(responses)} responses to the {len(utterances)} utterances of {task.name}; "
            "a system answers every utterance, in order"
        )
    asked = [Asked.of(utterance) for utterance in utterances]
    if task.kind == "ser":
        found = [{"predicted": parse_emotion(response)} for response in responses]
    else:
        found = judge_of_replies.mark(asked, responses) if judge_of_replies else [{}] * len(responses)
    return [
        {
            "id": utterance.id, "system": system, "task": task.name, "prompt": task.prompt, "response": response,
            "reference": utterance.emotion, "text": " / ".join(turn.text for turn in utterance.spoken),
            "speaker": utterance.speaker, **({"turns": one.turns} if utterance.history else {}), **fields,
        }
        for utterance, one, response, fields in zip(utterances, asked, responses, found, strict=True)
    ]  # fmt: skip


def read_predictions(path: str | Path) -> dict[str, Rows]:
    """The rows of a predictions file by task, in the file's order."""
    tasks: dict[str, Rows] = {}
    for row in read_jsonl(path):
        tasks.setdefault(row["task"], []).append(row)
    return tasks


def is_scored(rows: Rows) -> bool:
    """Whether there is anything to count: an emotion was asked for, or a judge has marked the replies."""
    return bool(rows) and ("predicted" in rows[0] or "quality" in rows[0])


def is_right(row: dict) -> bool:
    """Whether the emotion is named, or a reply has at least half of the marks for quality and for empathy."""
    if "predicted" in row:
        return row["predicted"] == row["reference"]
    return all((row.get(metric) or 0) >= 0.5 for metric in ("quality", "empathy"))


def cluster_of(row: dict) -> tuple[str, str]:
    """What an answer shares with others: the speaker, and the words of sentence or dialogue."""
    return row["speaker"], row["text"]


def values(rows: Rows, metric: str) -> np.ndarray:
    """One value for each row, whose mean is the metric; nan where the judge gave no mark.

    Balanced accuracy and F1 are no means over rows: the value is the figure plus the row's influence on it (delta
    method), so that its spread gives the standard error of the figure.
    """
    if metric in REPLYING:
        if metric == "unjudged":
            return np.array([row["quality"] is None or row["empathy"] is None for row in rows], dtype=float)
        return np.array([row[metric] for row in rows], dtype=float)  # None becomes nan
    reference, predicted = (np.array([row[key] or UNPARSED for row in rows]) for key in ("reference", "predicted"))
    right = reference == predicted
    if metric in ("wa", "unparsed"):
        return (right if metric == "wa" else predicted == UNPARSED).astype(float)
    present, found = np.unique(reference), 0.0
    for emotion in present:
        spoken, named = reference == emotion, predicted == emotion
        counted = spoken.astype(float) if metric == "ua" else (spoken + named.astype(float)) / 2
        ratio = (right & spoken).sum() / counted.sum()
        found += (ratio + len(rows) * ((right & spoken) - ratio * counted) / counted.sum()) / len(present)
    return found


def figure(rows: Rows, metric: str) -> float:
    """The mean of `values` over the rows that were judged; nan where none was."""
    known = values(rows, metric)
    return float(np.nanmean(known)) if np.isfinite(known).any() else float("nan")


def folds_as_one(runs: Sequence[Rows]) -> list[Rows]:
    """Runs of which no two answered the same utterance, as one run on all; others as they are."""
    answered = [row["id"] for run in runs for row in run]
    return [sum(runs, [])] if len(set(answered)) == len(answered) else list(runs)


def aligned(first: Sequence[Rows], second: Sequence[Rows]) -> tuple[list[Rows], list[Rows]]:
    """The runs of two systems on one task, run for run and row for row, in the order of the first.

    A system with a single run is compared with every run of the other (where it is trained, the interval does not hold
    how it would vary between runs of its own); runs that were tested on folds of one test set
    are one run. Raises StudyError when the runs differ in the utterances that were answered.
    """
    ones, others = folds_as_one(first), folds_as_one(second)
    ones, others = ones * (len(others) if len(ones) == 1 else 1), others * (len(ones) if len(others) == 1 else 1)
    order = [row["id"] for row in ones[0]]
    both = [[{row["id"]: row for row in run} for run in runs] for runs in (ones, others)]
    if any(set(run) != set(order) for runs in both for run in runs):
        whose = " and ".join(str(runs[0][0].get("system")) for runs in (ones, others))
        raise StudyError(
            f"{whose} did not answer the same utterances of {ones[0][0]['task']}; evaluate both on the same manifest"
        )
    one, other = ([[run[name] for name in order] for run in runs] for runs in both)
    return one, other


def estimate(runs: Sequence[Rows], metric: str) -> Estimate:
    """One metric of one system on one task, the mean over its training runs, with its interval."""
    runs, _ = aligned(runs, runs)
    return intervals.estimate([([values(run, metric) for run in runs], [cluster_of(row) for row in runs[0]])])


def compare(sets: Sequence[tuple[Sequence[Rows], Sequence[Rows]]], metric: str) -> Estimate:
    """How much the first system exceeds the second, paired by utterance and by training run, averaged over test sets,
    each with the same weight. An utterance counts where both systems were judged."""
    samples = []
    for first, second in sets:
        pairs = list(zip(*aligned(first, second), strict=True))
        differences = [values(one, metric) - values(other, metric) for one, other in pairs]
        samples.append((differences, [cluster_of(row) for row in pairs[0][0]]))
    return intervals.estimate(samples, bounds=(-1.0, 1.0))


def measure(runs: Sequence[Rows]) -> dict:
    """The figures of one system on one task, shares in 0..1, means over its training runs.

    Emotion recognition: wa (accuracy), ua (mean recall of the emotions present), f1 (macro, over the same), unparsed,
    and confusion as {reference: {predicted or "unparsed": count over all runs}}. An unparsed answer is an error.
    Replies: quality, empathy, well_formed (where the judge says it), unjudged (the share without a verdict, which the
    others leave out), empathy_by_emotion (empathy for each emotion of the speaker).
    Of both: n, intervals {metric: [low, high]}, clusters (speakers or sentences, the fewer), seeds (how many runs) and,
    with several, sd {metric: standard deviation over the runs}.
    """
    runs = folds_as_one(runs)
    rows, answers = runs[0], sum(runs, [])
    naming = "predicted" in rows[0]
    names = NAMING if naming else [name for name in REPLYING if name in rows[0] or name == "unjudged"]
    found = {name: estimate(runs, name) for name in names}
    figures = {name: one.value for name, one in found.items()} | {"n": len(rows)}
    of = {one: [row for row in answers if row["reference"] == one] for one in EMOTIONS}
    of = {one: spoken for one, spoken in of.items() if spoken}
    if naming:
        counts = {one: Counter(row["predicted"] or UNPARSED for row in spoken) for one, spoken in of.items()}
        figures["confusion"] = {
            one: {name: count[name] for name in (*EMOTIONS, UNPARSED)} for one, count in counts.items()
        }
    else:
        figures["empathy_by_emotion"] = {one: figure(spoken, "empathy") for one, spoken in of.items()}
    figures["intervals"] = {name: one.interval for name, one in found.items()}
    figures |= {"clusters": found[names[0]].clusters, "seeds": len(runs)}
    return figures | ({"sd": {name: one.sd for name, one in found.items()}} if len(runs) > 1 else {})


def preferences(first: Sequence[Rows], second: Sequence[Rows], judge) -> tuple[Outcomes, list[tuple]]:
    """What the judge prefers in every dialogue, run by run, and the clusters of every dialogue."""
    ones, others = aligned(first, second)
    return [judge.prefer(a, b) for a, b in zip(ones, others, strict=True)], [cluster_of(row) for row in ones[0]]


def estimate_preference(outcomes: Outcomes, clusters: Sequence[tuple], metric: str = "preference") -> Estimate:
    """preference: the share of wins less that of losses, -1..1. unbeaten: the share of wins and ties less a half.

    Dialogues without a verdict count on neither side.
    """
    worth = [[WORTH[metric].get(one, np.nan) for one in run] for run in outcomes]
    return intervals.estimate([(worth, clusters)], bounds=(-1.0, 1.0))


def preference_rates(outcomes: Outcomes) -> dict[str, float]:
    """Shares of win, tie and loss among the dialogues with a verdict; flips, the share of these whose verdict changed
    with the order; unjudged, the share of all without one. Means over training runs."""
    runs = []
    for run in outcomes:
        known = [one for one in run if one is not None]
        counts = {WIN: known.count(WIN), TIE: known.count(TIE) + known.count(FLIPPED), LOSS: known.count(LOSS)}
        counts["flips"] = known.count(FLIPPED)
        runs.append({name: count / len(known) if known else np.nan for name, count in counts.items()})
        runs[-1]["unjudged"] = 1 - len(known) / len(run)
    return {name: float(np.nanmean([run[name] for run in runs])) for name in runs[0]}
