"""From responses to figures: a judge reads each response, a scorer counts, over one or several training runs.

Who judges replies is said in `judges`: the grammar in the miniature, elsewhere an LLM. Names of emotions are read by
`tasks.parse_emotion`.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from blsp_core.data.manifest import EMOTIONS, Utterance, read_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation import intervals as statistics
from blsp_core.evaluation.judges import Asked, Grammar, Judge
from blsp_core.evaluation.tasks import Task, parse_emotion

UNPARSED = "unparsed"
PREDICTION_FIELDS = ("id", "system", "task", "prompt", "response", "reference")
NAMING, REPLYING = ("wa", "ua", "f1", "unparsed"), ("quality", "empathy", "well_formed", "unjudged")


def judge(
    task: Task, system: str, utterances: list[Utterance], responses: list[str], judge_of_replies: Judge | None = None
) -> list[dict]:
    """One row of predictions.jsonl per utterance: what was asked, heard, answered, and what the judge found.

    The judge of replies is the grammar where none is given. `text` (what was said, all turns of the user) and
    `speaker` come along because intervals cluster by them; the row of a dialogue has its `turns`, (role, words) each.
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
        found = (judge_of_replies or Grammar()).mark(asked, responses)
    return [
        {
            "id": utterance.id,
            "system": system,
            "task": task.name,
            "prompt": task.prompt,
            "response": response,
            "reference": utterance.emotion,
            "text": " / ".join(turn.text for turn in utterance.spoken),
            "speaker": utterance.speaker,
            **({"turns": said.turns} if utterance.history else {}),
            **fields,
        }
        for utterance, said, response, fields in zip(utterances, asked, responses, found, strict=True)
    ]


def read_predictions(path: str | Path) -> dict[str, list[dict]]:
    """The rows of a predictions file by task, in the file's order. Raises StudyError on a row without its fields."""
    tasks: dict[str, list[dict]] = {}
    for number, row in enumerate(read_jsonl(path), start=1):
        missing = [field for field in PREDICTION_FIELDS if field not in row]
        if missing:
            raise StudyError(f"{path}, line {number}: no {', '.join(missing)}; a prediction has {PREDICTION_FIELDS}")
        tasks.setdefault(row["task"], []).append(row)
    return tasks


def score(rows: list[dict]) -> dict:
    """The figures of one system on one task, shares in 0..1.

    Emotion recognition: wa (accuracy), ua (mean recall of the emotions present), f1 (macro, over the same), unparsed,
    n, and confusion as {reference: {predicted or "unparsed": count}}. An unparsed answer is an error.
    Replies: quality, empathy, well_formed (by the grammar), unjudged (the share without a verdict, which the others
    leave out), tone_by_tone (empathy for each tone of the speaker), n.
    """
    if not rows:
        raise StudyError("there are no predictions to score; run the evaluation of this system first")
    return _score_names(rows) if "predicted" in rows[0] else _score_replies(rows)


def _score_names(rows: list[dict]) -> dict:
    reference, predicted = [row["reference"] for row in rows], [row["predicted"] or UNPARSED for row in rows]
    present = [emotion for emotion in EMOTIONS if emotion in reference]
    columns = [*EMOTIONS, UNPARSED]
    matrix = confusion_matrix(reference, predicted, labels=columns)
    macro = {"labels": present, "average": "macro", "zero_division": 0.0}
    return {
        "wa": accuracy_score(reference, predicted),
        "ua": float(recall_score(reference, predicted, **macro)),
        "f1": float(f1_score(reference, predicted, **macro)),
        "unparsed": predicted.count(UNPARSED) / len(rows),
        "n": len(rows),
        "confusion": {
            emotion: dict(zip(columns, matrix[columns.index(emotion)].tolist(), strict=True)) for emotion in present
        },
    }


def _score_replies(rows: list[dict]) -> dict:
    present = [emotion for emotion in EMOTIONS if any(row["reference"] == emotion for row in rows)]
    figures = {name: figure(rows, name) for name in REPLYING if name in rows[0] or name == "unjudged"}
    by_tone = {e: figure([row for row in rows if row["reference"] == e], "empathy") for e in present}
    return {**figures, "tone_by_tone": by_tone, "n": len(rows)}


def is_right(row: dict) -> bool:
    """Whether an answer is right: the emotion named, or at least half of the marks for quality and for empathy."""
    if "predicted" in row:
        return row["predicted"] == row["reference"]
    return all((row[metric] or 0) >= 0.5 for metric in ("quality", "empathy"))


def cluster_of(row: dict) -> str:
    """What an answer shares with others: the voice in emotion recognition, else the words of sentence or dialogue."""
    return row["speaker"] if "predicted" in row else row["text"]


def counts(rows: list[dict], metric: str) -> tuple[np.ndarray, Callable]:
    """What each row adds to the totals, and the statistic that turns totals into the metric; for the bootstrap.

    A mark that the judge did not give adds nothing, to the sum or to what it counts.
    """
    if metric in ("ua", "f1"):
        return _confusions(rows), {"ua": _mean_recall, "f1": _macro_f1}[metric]
    worth = {
        "wa": lambda row: row["predicted"] == row["reference"],
        "unparsed": lambda row: row["predicted"] is None,
        "unjudged": lambda row: row["quality"] is None or row["empathy"] is None,
    }.get(metric, lambda row: row[metric])
    values = [worth(row) for row in rows]
    return np.array([(0.0, 0.0) if value is None else (value, 1.0) for value in values], dtype=float), statistics.ratio


def figure(rows: list[dict], metric: str) -> float:
    """One of the figures of `score`."""
    items, statistic = counts(rows, metric)
    return float(statistic(items.sum(axis=0)))


def _confusions(rows: list[dict]) -> np.ndarray:
    """(rows, references, predictions + unparsed), a single one in each row."""
    columns = [*EMOTIONS, UNPARSED]
    cells = np.zeros((len(rows), len(EMOTIONS), len(columns)))
    for cell, row in zip(cells, rows, strict=True):
        cell[EMOTIONS.index(row["reference"]), columns.index(row["predicted"] or UNPARSED)] = 1
    return cells


def _mean_recall(totals: np.ndarray) -> np.ndarray:
    hits = np.diagonal(totals, axis1=-2, axis2=-1)  # (..., emotions)
    return _mean_over_present(hits, totals.sum(-1), totals)


def _macro_f1(totals: np.ndarray) -> np.ndarray:
    hits = np.diagonal(totals, axis1=-2, axis2=-1)
    both = totals.sum(-1) + totals.sum(-2)[..., : hits.shape[-1]]
    return _mean_over_present(2 * hits, both, totals)


def _mean_over_present(above: np.ndarray, below: np.ndarray, totals: np.ndarray) -> np.ndarray:
    present = totals.sum(-1) > 0
    ratios = np.divide(above, below, out=np.zeros_like(above), where=(below > 0) & present)
    return ratios.sum(-1) / present.sum(-1)


def aligned(first: Sequence[list[dict]], second: Sequence[list[dict]]) -> tuple[list[list[dict]], list[list[dict]]]:
    """The runs of two systems on one task, run for run and row for row, in the order of the first.

    A system with a single run meets every run of the other; runs that were tested on folds of one test set are one run.
    Raises StudyError when the runs differ in number, or their
    rows in what was answered.
    """
    ones, others = (folds_as_one(list(runs)) for runs in (first, second))
    ones, others = ones * (len(others) if len(ones) == 1 else 1), others * (len(ones) if len(others) == 1 else 1)
    if len(ones) != len(others):
        raise StudyError(
            f"{ones[0][0]['system']} has {len(ones)} runs of {ones[0][0]['task']}, {others[0][0]['system']} has "
            f"{len(others)}; evaluate both at the same seeds"
        )
    order = [row["id"] for row in ones[0]]
    both = [[{row["id"]: row for row in run} for run in runs] for runs in (ones, others)]
    for run in [*both[0], *both[1]]:
        if set(run) != set(order):
            raise StudyError(
                f"{ones[0][0]['system']} and {others[0][0]['system']} did not answer the same utterances of "
                f"{ones[0][0]['task']}; evaluate both again on the same manifest"
            )
    one, other = ([[run[name] for name in order] for run in runs] for runs in both)
    return one, other


def folds_as_one(runs: list[list[dict]]) -> list[list[dict]]:
    """Runs of which no two answered the same utterance, as one run on all; others as they are."""
    answered = [row["id"] for run in runs for row in run]
    return [sum(runs, [])] if len(set(answered)) == len(answered) else runs


def estimate(
    runs: Sequence[list[dict]], metric: str, draws: int = statistics.DRAWS, seed: int = 0
) -> statistics.Estimate:
    """One metric of one system on one task, the mean over its training runs, with its interval."""
    runs, _ = aligned(runs, runs)
    of_runs = np.stack([counts(run, metric)[0] for run in runs])
    statistic = counts(runs[0][:1], metric)[1]
    return statistics.bootstrap([(of_runs, [cluster_of(row) for row in runs[0]])], statistic, draws=draws, seed=seed)


def compare(
    first: Sequence[list[dict]],
    second: Sequence[list[dict]],
    metric: str,
    draws: int = statistics.DRAWS,
    seed: int = 0,
) -> statistics.Estimate:
    """How much the first system exceeds the second on one task, paired by utterance and by training run."""
    return compare_sets([(first, second)], metric, draws, seed)


def compare_sets(
    sets: Sequence[tuple[Sequence[list[dict]], Sequence[list[dict]]]],
    metric: str,
    draws: int = statistics.DRAWS,
    seed: int = 0,
) -> statistics.Estimate:
    """`compare`, averaged over several test sets, each with the same weight."""
    samples = []
    for first, second in sets:
        ones, others = aligned(first, second)
        both = np.stack([[counts(run, metric)[0] for run in runs] for runs in (ones, others)], axis=2)
        if metric not in ("ua", "f1"):  # an utterance counts where both were judged
            both = both * (both[..., 1].min(axis=2) > 0)[..., None, None]
        samples.append((both, [cluster_of(row) for row in ones[0]]))
    statistic = counts(ones[0][:1], metric)[1]
    gain = statistics.gain(statistic, depth=both.ndim - 3)
    return statistics.bootstrap(samples, gain, bounds=(-1.0, 1.0), draws=draws, seed=seed)


def measure(runs: Sequence[list[dict]], draws: int = statistics.DRAWS, seed: int = 0) -> dict:
    """`score` of every training run made one: means, counts of confusions summed. Beside them `intervals` {metric:
    [low, high]}, `clusters`, `seeds` (how many runs) and, with several, `sd` {metric: spread over the runs}."""
    runs = folds_as_one(list(runs))
    scores = [score(rows) for rows in runs]
    found = {name: estimate(runs, name, draws, seed) for name in (*NAMING, *REPLYING) if name in scores[0]}
    figures = scores[0] | {name: one.value for name, one in found.items()}
    if "confusion" in figures:
        tables = [one["confusion"] for one in scores]
        figures["confusion"] = {
            said: {named: sum(table[said][named] for table in tables) for named in row}
            for said, row in tables[0].items()
        }
    else:
        tones = [one["tone_by_tone"] for one in scores]
        figures["tone_by_tone"] = {tone: float(np.mean([run[tone] for run in tones])) for tone in tones[0]}
    figures["intervals"] = {name: one.interval for name, one in found.items()}
    figures |= {"clusters": len({cluster_of(row) for row in runs[0]}), "seeds": len(scores)}
    return figures | ({"sd": {name: one.sd for name, one in found.items()}} if len(scores) > 1 else {})


def measure_all(tasks: dict[str, Iterable[dict]], draws: int = statistics.DRAWS, seed: int = 0) -> dict:
    """`measure` for every task of one run of a system, by the task's name."""
    return {name: measure([list(rows)], draws, seed) for name, rows in tasks.items()}
