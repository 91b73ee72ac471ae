"""Frames that are computed clip by clip: errors by sound, by speaker and by the emotion head; words of replies."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from blsp_core.data.conditions import MARK
from blsp_core.evaluation import intervals
from blsp_core.evaluation.metrics import cluster_of, estimate, folds_as_one
from blsp_core.evaluation.results import CONTROL, MAIN, Predictions, of_task, tasks_of
from blsp_core.report.style import in_order, name_of
from blsp_core.report.tables import cell

UNSEEN = ("greek", "french", "russian")  # languages of the miniature


def errors_by_sound(predictions: Predictions, task: str, sounds: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """The share of errors in each fifth of the clips by loudness, pitch and rate, over all runs, with 95 % intervals.
    sounds: a row for each utterance, index its id, columns emotion and measures (of `acoustics.prosody`). Fifths are
    taken within each emotion. Columns: system, measure, fifth (1 is the lowest), value, low, high, n."""
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
    """Accuracy (per cent) of the LLM's answers and of the emotion head on the same clips, where there is a head; its
    mean probability of what it names, and its expected calibration error over ten bins of equal width."""
    rows = []
    for system, task, runs in _recognition(predictions):
        if task == f"ser.{CONTROL}":  # the labels are those of the words
            continue
        clips = pd.DataFrame([row for run in runs for row in run])
        if "head" in clips and clips["head"].notna().all():
            right = clips[["predicted", "head"]].eq(clips["reference"], axis=0)
            row = {"system": name_of(system), "corpus": task.removeprefix("ser.")}
            row |= {"LLM": 100 * right["predicted"].mean(), "emotion head": 100 * right["head"].mean()}
            if "head_share" in clips:
                gaps = (right["head"] - clips["head_share"]).groupby((clips["head_share"] * 10).clip(upper=9.99) // 1)
                error = (gaps.mean().abs() * gaps.size()).sum() / len(clips)
                row |= {"its confidence": 100 * clips["head_share"].mean(), "calibration error": 100 * error}
            rows.append(row)
    return pd.DataFrame(rows).round(1)


def weakest_table(predictions: Predictions, systems: Iterable[str]) -> pd.DataFrame:
    """For each system and corpus the emotion and the speaker that it recognises worst, with the accuracy there in per
    cent and the number of answers, over all runs: what a mean hides."""
    rows = []
    for system, task, runs in _recognition({name: predictions[name] for name in systems if name in predictions}):
        if task == f"ser.{CONTROL}":  # the labels are those of the words
            continue
        clips = pd.DataFrame([row for run in runs for row in run])
        right = clips["predicted"].eq(clips["reference"])
        row = {"system": name_of(system), "corpus": task.removeprefix("ser."), "accuracy": round(100 * right.mean(), 1)}
        for what, column in (("emotion", "reference"), ("speaker", "speaker")):
            found = right.groupby(clips[column]).agg(["mean", "size"])
            name = found["mean"].idxmin()
            row[f"weakest {what}"] = f"{name}: {100 * found['mean'][name]:.1f} (n = {found['size'][name]})"
        rows.append(row)
    return pd.DataFrame(rows)


def robustness(predictions: Predictions) -> pd.DataFrame:
    """Accuracy on altered clips and on the same clips as they are. Columns: system, corpus, condition (in words),
    value, low, high (shares), n."""
    rows = []
    for system, runs in predictions.items():
        for task in dict.fromkeys(task for of in runs.values() for task in of if MARK in task):
            corpus, _, condition = task.removeprefix("ser.").partition(MARK)
            under = of_task(runs, task)
            ids = {row["id"] for row in under[0]}
            plain = [[row for row in run if row["id"] in ids] for run in of_task(runs, f"ser.{corpus}")]
            for name, answered in (("unaltered", plain), (_in_words(condition), under)):
                if answered and answered[0]:
                    found = estimate(answered, "wa")
                    rows.append((system, corpus, name, found.value, found.low, found.high, found.n))
    columns = ["system", "corpus", "condition", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates(["system", "corpus", "condition"], ignore_index=True)


def _in_words(condition: str) -> str:
    """A condition of `data.altered` for a reader."""
    words = {"level": r"\1 dB", "noise": r"SNR \1 dB", "speed": r"\1 % speed"}
    for name, form in words.items():
        condition = re.sub(rf"^{name}([+-]?\d+)$", form, condition)
    return condition


def robustness_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of `robustness` for a reader: a row a condition, a column a system."""
    if frame.empty:
        return frame
    cells = frame.assign(cell=[cell(row) for row in frame.to_dict("records")])
    table = cells.pivot(index=["corpus", "condition"], columns="system", values="cell")
    order = list(dict.fromkeys(zip(frame["corpus"], frame["condition"], strict=True)))
    return table.loc[order, in_order(table)].rename(columns=name_of).reset_index()


def contradictions(predictions: Predictions, emotions: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """What systems name where words and voice disagree. emotions: clip of the control -> its `words` and `voice`.
    Columns: system, named (the emotion of the words, of the voice, another), value, low, high (shares), n."""
    rows = []
    for system, task, runs in _recognition(predictions) if emotions else ():
        kept = [[row for row in run if row["id"] in emotions] for run in runs] if task == f"ser.{CONTROL}" else []
        found = [[_named(row["predicted"], emotions[row["id"]]) for row in run] for run in kept]
        for named in ("words", "voice", "another") if kept and all(kept) else ():
            hits = [np.array([one == named for one in run], float) for run in found]
            share = intervals.estimate([(hits, [cluster_of(row) for row in kept[0]])])
            rows.append((system, named, share.value, share.low, share.high, share.n))
    return pd.DataFrame(rows, columns=["system", "named", "value", "low", "high", "n"])


def _named(predicted: str | None, two: Mapping[str, str]) -> str:
    return next((source for source, emotion in two.items() if emotion == predicted), "another")


def contradictions_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of `contradictions` for a reader: a row a system, a column for what it names."""
    if frame.empty:
        return frame
    cells = frame.assign(cell=[cell(row) for row in frame.to_dict("records")])
    table = cells.pivot(index="system", columns="named", values="cell")
    return table.loc[in_order(table.index), ["words", "voice", "another"]].rename(name_of).reset_index()


def mentions_table(predictions: Predictions) -> pd.DataFrame:
    """Do replies speak of what was said? Share of replies that have a content word of their request, and of the other
    requests, which is chance; and their difference. Needs no judge and says nothing of quality."""
    rows = []
    for system, runs in predictions.items():
        answers = of_task(runs, "requests")
        if not answers:
            continue
        requests = {row["text"]: _content(row["text"]) for row in answers[0]}
        said = [[_content(row["response"]) for row in run] for run in answers]
        shared = [[{text: bool(words & of) for text, of in requests.items()} for words in run] for run in said]
        texts, clusters = zip(*((row["text"], cluster_of(row)) for row in answers[0]), strict=True)
        own = np.array([[found[text] for found, text in zip(run, texts, strict=True)] for run in shared], float)
        all_of_them = np.array([[sum(found.values()) for found in run] for run in shared])
        chance = (all_of_them - own) / max(1, len(requests) - 1)
        shares = [intervals.estimate([(values, clusters)]) for values in (own, chance)]
        difference = intervals.estimate([(own - chance, clusters)], bounds=(-1.0, 1.0))
        cells = [cell(vars(one)) for one in (*shares, difference)]
        names = ("system", "own request", "other requests", "difference")
        rows.append(dict(zip(names, (name_of(system), *cells), strict=True)))
    return pd.DataFrame(rows)


def clips_to_play(predictions: Predictions, systems: Iterable[str], sentences: int = 3) -> list[dict]:
    """Clips with what systems answered: the first requests in every emotion, a clip of an unseen language that BLSP-Emo
    names rightly, and the statement that its head is most confidently wrong about. Of each the `id`, a `title` and
    `answers`, system -> response."""
    first = {name: predictions[name][min(predictions[name])] for name in systems if name in predictions}
    own, found = first.get(MAIN, {}), []
    texts = list(dict.fromkeys(row["text"] for row in own.get("requests", [])))[:sentences]
    found += [(row, "requests", row["reference"]) for row in own.get("requests", []) if row["text"] in texts]
    for task in (f"ser.{name}" for name in UNSEEN):
        right = [row for row in own.get(task, []) if row["predicted"] == row["reference"] != "neutral"]
        found += [(row, task, f"{task.removeprefix('ser.')}, {row['reference']}") for row in right[:1]]
    sure = [row for row in own.get("ser.statements", []) if "head_share" in row]  # where there is a head
    wrong = [row for row in sure if row["head"] != row["reference"]]
    for row in sorted(wrong, key=lambda row: -row["head_share"])[:1]:
        found.append((row, "ser.statements", f"a confident error: {row['reference']}, by the head {row['head']}"))
    rows = []
    for row, task, title in found:
        said = {name: {r["id"]: r["response"] for r in tasks.get(task, [])} for name, tasks in first.items()}
        answers = {name: texts[row["id"]] for name, texts in said.items() if texts.get(row["id"])}
        rows.append({"id": row["id"], "title": f"{title}: “{row['text']}”", "answers": answers})
    return rows


def _content(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - ENGLISH_STOP_WORDS


def _recognition(predictions: Predictions):
    """system, task and runs of emotion recognition, with the folds of one test set as one run."""
    for system, runs in predictions.items():
        for task in (task for task in tasks_of(runs) if task.startswith("ser.")):
            yield system, task, folds_as_one(of_task(runs, task))
