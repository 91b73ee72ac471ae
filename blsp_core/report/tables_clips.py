"""Frames that are computed clip by clip: errors by sound, by speaker and by the emotion head; words of replies."""

import re
from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from blsp_core.evaluation import intervals
from blsp_core.evaluation.metrics import estimate, folds_as_one
from blsp_core.evaluation.results import Metrics, Predictions, of_task, tasks_of
from blsp_core.report.style import in_order, name_of
from blsp_core.report.tables import cell, word_errors


def errors_by_sound(predictions: Predictions, task: str, sounds: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """The share of errors in each fifth of the clips by loudness, pitch and rate, over all runs, with 95 % intervals.

    sounds: a row for each utterance, index its id, columns emotion and measures (of `acoustics.prosody`). Fifths are
    taken within each emotion. Columns: system, measure, fifth (1 is the lowest), value, low, high, n.
    """
    rows = []
    for measure in sounds.columns.drop("emotion") if len(sounds) else ():
        ranks = sounds.groupby("emotion")[measure].rank(method="first", pct=True).dropna()
        fifths = np.ceil((ranks * 5).round(9)).to_dict()
        for system in in_order(set(systems) & set(predictions)):
            runs = folds_as_one(of_task(predictions[system], task))
            for fifth in range(1, 6):
                kept = [[row for row in run if fifths.get(row["id"]) == fifth] for run in runs]
                if kept and all(kept):
                    right = estimate(kept, "wa")
                    errors = 1 - right.value, 1 - right.high, 1 - right.low
                    rows.append((system, measure, fifth, *errors, len(kept[0])))
    return pd.DataFrame(rows, columns=["system", "measure", "fifth", "value", "low", "high", "n"])


def heads_table(predictions: Predictions) -> pd.DataFrame:
    """Accuracy (per cent) of the LLM's answers and of the emotion head on the same clips, where there is a head."""
    rows = []
    for system, task, runs in _recognition(predictions):
        clips = pd.DataFrame([row for run in runs for row in run])
        if "head" in clips and clips["head"].notna().all():
            right = 100 * clips[["predicted", "head"]].eq(clips["reference"], axis=0).mean()
            names = {"system": name_of(system), "corpus": task.removeprefix("ser.")}
            rows.append(names | {"LLM": right["predicted"], "emotion head": right["head"]})
    return pd.DataFrame(rows).round(1)


def held_out_table(predictions: Predictions, chosen_on: Collection[str], metrics: Metrics) -> pd.DataFrame:
    """Accuracy on speakers that some setting was chosen on, and on held-out speakers, for corpora that have both; of
    cascades, also the word error rate of the transcripts."""
    rows = []
    for system, task, runs in _recognition(predictions) if chosen_on else ():
        parts = [
            [[row for row in run if (row["speaker"] in chosen_on) is one] for run in runs] for one in (True, False)
        ]
        if all(part[0] for part in parts):
            found = [estimate(part, "wa") for part in parts]
            chosen, held_out = (cell({"value": one.value, "low": one.low, "high": one.high}) for one in found)
            row = {"system": name_of(system), "corpus": task.removeprefix("ser.")}
            row |= {"speakers that settings were chosen on": chosen, "held-out speakers": held_out}
            rows.append(row | word_errors(metrics[system][task].get("wer", {})))
    return pd.DataFrame(rows).fillna("")


def mentions_table(predictions: Predictions) -> pd.DataFrame:
    """Do replies speak of what was said? Share of replies that have a content word of their request, and of the other
    requests, which is chance; their difference, clustered by request. Needs no judge and says nothing of quality."""
    rows = []
    for system, runs in predictions.items():
        answers = of_task(runs, "requests")
        if not answers:
            continue
        requests = {row["text"]: _content(row["text"]) for row in answers[0]}
        shared = [[{t: bool(_content(row["response"]) & w) for t, w in requests.items()} for row in r] for r in answers]
        texts = [row["text"] for row in answers[0]]
        own = np.array([[found[text] for found, text in zip(run, texts, strict=True)] for run in shared], float)
        all_of_them = np.array([[sum(found.values()) for found in run] for run in shared])
        chance = (all_of_them - own) / max(1, len(requests) - 1)
        shares = [intervals.estimate([(values, texts)]) for values in (own, chance)]
        difference = intervals.estimate([(own - chance, texts)], bounds=(-1.0, 1.0))
        cells = [cell({"value": one.value, "low": one.low, "high": one.high}) for one in (*shares, difference)]
        names = ("system", "own request", "other requests", "difference")
        rows.append(dict(zip(names, (name_of(system), *cells), strict=True)))
    return pd.DataFrame(rows)


def _content(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - ENGLISH_STOP_WORDS


def _recognition(predictions: Predictions):
    """system, task and runs of emotion recognition, with the folds of one test set as one run."""
    for system, runs in predictions.items():
        for task in (task for task in tasks_of(runs) if task.startswith("ser.")):
            yield system, task, folds_as_one(of_task(runs, task))
