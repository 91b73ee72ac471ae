"""Frames of emotion recognition that are computed clip by clip: by sound, by speaker, and by the emotion head."""

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd

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


def _recognition(predictions: Predictions):
    """system, task and runs of emotion recognition, with the folds of one test set as one run."""
    for system, runs in predictions.items():
        for task in (task for task in tasks_of(runs) if task.startswith("ser.")):
            yield system, task, folds_as_one(of_task(runs, task))
