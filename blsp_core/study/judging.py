"""From responses to figures: a judge reads each response, a scorer counts.

A judge is a function (utterance, response) -> parsed fields. In the miniature the judge of replies is the grammar;
another judge (a panel of LLMs, people) is one more such function, and nothing else changes.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from blsp_core.errors import StudyError
from blsp_core.speech.grammar import object_of, parse_reply
from blsp_core.speech.manifest import EMOTIONS, Utterance, read_jsonl
from blsp_core.study import statistics
from blsp_core.study.tasks import Task, parse_emotion

Judge = Callable[[Utterance, str], dict]
UNPARSED = "unparsed"
PREDICTION_FIELDS = ("id", "system", "task", "prompt", "response", "reference")


def judge_name(utterance: Utterance, response: str) -> dict:
    """Emotion recognition: the emotion that the response names, None when it names none or several."""
    return {"predicted": parse_emotion(response)}


def judge_by_grammar(utterance: Utterance, response: str) -> dict:
    """A reply to a spoken request, judged by the grammar of the miniature.

    quality 1: a well-formed reply whose advice is about the object asked for. empathy 1: a well-formed reply that
    opens in the speaker's tone. Each is 0 or 1 and judged apart.
    """
    reply = parse_reply(response)
    well_formed = reply.well_formed and reply.kind == "reply"
    asked = object_of(utterance.text)
    return {
        "well_formed": int(well_formed),
        "object": reply.object,
        "tone": reply.tone,
        "quality": int(well_formed and reply.object is not None and reply.object == asked),
        "empathy": int(well_formed and reply.tone is not None and reply.tone == utterance.emotion),
    }


def judge(
    task: Task, system: str, utterances: list[Utterance], responses: list[str], judge_reply: Judge = judge_by_grammar
) -> list[dict]:
    """One row of predictions.jsonl per utterance: what was asked, heard, answered, and what the judge found.

    `text` and `speaker` come along because intervals cluster by them.
    """
    if len(utterances) != len(responses):
        raise StudyError(
            f"{system} gave {len(responses)} responses to the {len(utterances)} utterances of {task.name}; "
            "a system answers every utterance, in order"
        )
    read = judge_name if task.kind == "ser" else judge_reply
    return [
        {
            "id": utterance.id,
            "system": system,
            "task": task.name,
            "prompt": task.prompt,
            "response": response,
            "reference": utterance.emotion,
            "text": utterance.text,
            "speaker": utterance.speaker,
            **read(utterance, response),
        }
        for utterance, response in zip(utterances, responses, strict=True)
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
    Requests: quality, empathy, well_formed, tone_by_tone (empathy for each tone of the speaker), n.
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
    figures = {name: float(np.mean([row[name] for row in rows])) for name in ("quality", "empathy", "well_formed")}
    by_tone = {e: float(np.mean([row["empathy"] for row in rows if row["reference"] == e])) for e in present}
    return {**figures, "tone_by_tone": by_tone, "n": len(rows)}


def is_right(row: dict) -> bool:
    """Whether an answer is wholly right: the emotion named, or the right advice in the right tone."""
    return row["predicted"] == row["reference"] if "predicted" in row else bool(row["quality"] and row["empathy"])


def cluster_of(row: dict) -> str:
    """What an answer shares with others: the voice in emotion recognition, the sentence in requests."""
    return row["speaker"] if "predicted" in row else row["text"]


def counts(rows: list[dict], metric: str) -> tuple[np.ndarray, Callable]:
    """What each row adds to the totals, and the statistic that turns totals into the metric; for the bootstrap."""
    if metric in ("ua", "f1"):
        return _confusions(rows), {"ua": _mean_recall, "f1": _macro_f1}[metric]
    hits = {
        "wa": lambda row: row["predicted"] == row["reference"],
        "unparsed": lambda row: row["predicted"] is None,
    }.get(metric, lambda row: row[metric])
    values = np.array([float(hits(row)) for row in rows])
    return np.stack([values, np.ones(len(rows))], axis=1), lambda totals: totals[..., 0] / totals[..., 1]


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


def estimate(rows: list[dict], metric: str, draws: int = statistics.DRAWS, seed: int = 0) -> statistics.Estimate:
    """One metric of one system on one task, with its interval."""
    items, statistic = counts(rows, metric)
    clusters = [cluster_of(row) for row in rows]
    if metric in ("ua", "f1"):
        return statistics.bootstrap(items, clusters, statistic, draws=draws, seed=seed)
    return statistics.share(items[:, 0], clusters, draws=draws, seed=seed)


def compare(
    first: list[dict], second: list[dict], metric: str, draws: int = statistics.DRAWS, seed: int = 0
) -> statistics.Estimate:
    """How much the first system exceeds the second on one task, paired by utterance; both must have met the same."""
    by_id = {row["id"]: row for row in second}
    if {row["id"] for row in first} != set(by_id):
        raise StudyError(
            f"{first[0]['system']} and {second[0]['system']} did not answer the same utterances of "
            f"{first[0]['task']}; evaluate both again on the same manifest"
        )
    (one, statistic), (two, _) = counts(first, metric), counts([by_id[row["id"]] for row in first], metric)
    clusters = [cluster_of(row) for row in first]
    return statistics.paired_difference(one, two, clusters, statistic, draws=draws, seed=seed)


def measure(rows: list[dict], draws: int = statistics.DRAWS, seed: int = 0) -> dict:
    """`score`, with the intervals of its shares under `intervals`: {metric: [low, high]}."""
    figures = score(rows)
    names = ("wa", "ua", "f1", "unparsed") if "wa" in figures else ("quality", "empathy", "well_formed")
    intervals = {name: estimate(rows, name, draws, seed).interval for name in names}
    return {**figures, "intervals": intervals, "clusters": len({cluster_of(row) for row in rows})}


def measure_all(tasks: dict[str, Iterable[dict]], draws: int = statistics.DRAWS, seed: int = 0) -> dict:
    """`measure` for every task of a system, by the task's name."""
    return {name: measure(list(rows), draws, seed) for name, rows in tasks.items()}
