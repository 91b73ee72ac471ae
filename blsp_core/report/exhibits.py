"""What the figures show, as frames: counted from predictions and figures, nothing drawn. What was not run gives an
empty frame."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from blsp_core.data.manifest import EMOTIONS
from blsp_core.evaluation.intervals import share
from blsp_core.evaluation.metrics import estimate, folds_as_one, is_right
from blsp_core.evaluation.results import Metrics, Predictions, SeedsOf, of_task, seed_files, tasks_of
from blsp_core.report.style import MAIN, in_order, name_of

ENOUGH = 0.5  # marks from which a reply counts as in the right tone, as in `judging.is_right`


def preferences(dialogues: dict[str, dict], system: str = MAIN) -> pd.DataFrame:
    """The paper's Figure 3: rival, win, tie, loss (shares), from `pairwise.against_all`."""
    head = f"{system}.vs."
    found = {pair.removeprefix(head): figures for pair, figures in dialogues.items() if pair.startswith(head)}
    columns = ["win", "tie", "loss"]
    rows = [{"rival": rival} | {part: found[rival][part] for part in columns} for rival in in_order(found)]
    return pd.DataFrame(rows, columns=["rival", *columns]).dropna()


def fixed_words(predictions: Predictions, task: str = "requests") -> pd.DataFrame:
    """What becomes of the reply when only the tone changes: all pairs of tones of every sentence, over all runs.

    Columns: system; shares of pairs: same (one reply to both), both, one, neither (the replies differ, and so many of
    them meet their speaker's tone); pairs. Clips of one sentence in one tone make no pair.
    """
    kinds = ["same", "both", "one", "neither"]
    rows = []
    for system in in_order(predictions):
        count: Counter = Counter()
        for run in of_task(predictions[system], task):
            clips = pd.DataFrame(run)
            for _, of_sentence in clips.groupby("text"):
                count.update(_kind(one, two) for one, two in combinations(of_sentence.to_dict("records"), 2))
        del count[None]
        if count:
            rows.append(
                {"system": system} | {kind: count[kind] / count.total() for kind in kinds} | {"pairs": count.total()}
            )
    return pd.DataFrame(rows, columns=["system", *kinds, "pairs"])


def _kind(one: dict, two: dict) -> str | None:
    if one["reference"] == two["reference"]:
        return None
    if one["response"] == two["response"]:
        return "same"
    return ("neither", "one", "both")[sum((row["empathy"] or 0) >= ENOUGH for row in (one, two))]


def errors_by_sound(
    predictions: Predictions, task: str, sounds: pd.DataFrame, systems: list[str], parts: int = 5
) -> pd.DataFrame:
    """The share of errors in each fifth of the clips by loudness, pitch and so on, over all runs.

    sounds: a row for each utterance, index its id, columns tone and measures (see `measures.prosody`). The fifths are
    taken within each tone, so that every fifth has the same mixture of tones. Columns: system, measure, fifth (1 is
    the lowest), error, low, high (95 % interval over voices and runs), n.
    """
    columns = ["system", "measure", "fifth", "error", "low", "high", "n"]
    if not len(sounds):
        return pd.DataFrame(columns=columns)
    measures = [column for column in sounds if column != "tone"]
    ranks = sounds.groupby("tone")[measures].rank(method="first", pct=True)
    fifths = np.ceil((ranks * parts).round(9))
    rows = []
    for system in in_order(set(systems) & set(predictions)):
        runs = folds_as_one(of_task(predictions[system], task))
        if not runs:
            continue
        clips = pd.DataFrame({"id": row["id"], "speaker": row["speaker"]} for row in runs[0]).set_index("id")
        wrong = pd.DataFrame({i: {row["id"]: not is_right(row) for row in run} for i, run in enumerate(runs)}).astype(
            float
        )
        for measure in measures:
            for fifth, of_fifth in clips.groupby(fifths[measure].reindex(clips.index)):
                found = share(wrong.loc[of_fifth.index].T.to_numpy(), of_fifth["speaker"])
                rows.append(
                    {"system": system, "measure": measure, "fifth": int(fifth), "error": found.value}
                    | {"low": found.low, "high": found.high, "n": found.n}
                )
    return pd.DataFrame(rows, columns=columns)


def confusions(metrics: Metrics) -> dict[str, dict[str, dict]]:
    """corpus -> system -> confusion matrix."""
    found: dict[str, dict[str, dict]] = {}
    for system in in_order(metrics):
        for task, figures in metrics[system].items():
            if "confusion" in figures:
                found.setdefault(task.removeprefix("ser."), {})[system] = figures["confusion"]
    return found


def heads_table(predictions: Predictions) -> pd.DataFrame:
    """What the LLM names when asked in words beside what the emotion head alone would name: accuracy in per cent, mean
    and spread over training runs, for systems that have a head and corpora on which it was tried."""
    rows = []
    for system, task, runs in _naming(predictions):
        if all("head" in row for run in runs for row in run):
            cells = {}
            for by, column in (("predicted", "asked in words"), ("head", "emotion head")):
                shares = [100 * np.mean([row[by] == row["reference"] for row in run]) for run in runs]
                spread = f" ±{np.std(shares, ddof=1):.1f}" if len(runs) > 1 else ""
                cells[column] = f"{np.mean(shares):.1f}{spread}"
            rows.append({"system": name_of(system), "corpus": task.removeprefix("ser."), **cells})
    return pd.DataFrame(rows, columns=["system", "corpus", "asked in words", "emotion head"])


def unmet_table(predictions: Predictions, chosen_on: Collection[str]) -> pd.DataFrame:
    """Accuracy on voices on which settings were chosen beside that on all others, in per cent, with 95 % intervals over
    voices and runs, and the number of clips: for corpora that have both. chosen_on: names of speakers."""
    columns, rows = {True: "voices that some setting was chosen on", False: "voices that no trial was judged by"}, []
    for system, task, runs in _naming(predictions):
        if len({row["speaker"] in chosen_on for row in runs[0]}) == 2:
            cells = {}
            for chosen, column in columns.items():
                kept = [[row for row in run if (row["speaker"] in chosen_on) is chosen] for run in runs]
                found = estimate(kept, "wa")
                low, high = (100 * end for end in found.interval)
                cells[column] = f"{100 * found.value:.1f} [{low:.1f}, {high:.1f}] of {len(kept[0])}"
            rows.append({"system": name_of(system), "corpus": task.removeprefix("ser."), **cells})
    return pd.DataFrame(rows, columns=["system", "corpus", *columns.values()])


def _naming(predictions: Predictions) -> Iterator[tuple[str, str, list[list[dict]]]]:
    """Every system's runs of every task of naming, those on folds of one test set as one."""
    for system, runs in predictions.items():
        for task in tasks_of(runs):
            if task.startswith("ser."):
                yield system, task, folds_as_one(of_task(runs, task))


def replies_to(predictions: Predictions, text: str, task: str = "showcase") -> dict[str, dict[str, str]]:
    """What each system replies to one sentence in its several tones: system -> tone -> reply, of its first run."""
    found: dict[str, dict[str, str]] = {}
    for system in in_order(predictions):
        for row in next(iter(of_task(predictions[system], task)), []):
            if row["text"] == text:
                found.setdefault(system, {}).setdefault(row["reference"], row["response"])
    return found


def replies_table(replies: dict[str, dict[str, str]]) -> pd.DataFrame:
    """The paper's Table 7: a row for each system, a column for each tone."""
    tones = [tone for tone in EMOTIONS if any(tone in of_tone for of_tone in replies.values())]
    rows = [{"system": name_of(s)} | {tone: of_tone.get(tone, "") for tone in tones} for s, of_tone in replies.items()]
    return pd.DataFrame(rows, columns=["system", *tones])


def clouds(frames: dict[str, pd.DataFrame]) -> tuple[dict[str, np.ndarray], list[str], dict[str, str]]:
    """For `pictures.tone_map`: points, tones, and a note on each model, of the frames of `embeddings.pooled`."""
    points = {name: _points(frame) for name, frame in frames.items()}
    notes = {name: f"tone by a straight line: {100 * readable_tone(frame):.0f} %" for name, frame in frames.items()}
    return points, next((list(frame["tone"]) for frame in frames.values()), []), notes


def _points(frame: pd.DataFrame) -> np.ndarray:
    """What `embeddings.pooled` has kept, as (utterances, dimensions)."""
    return frame[[column for column in frame if column[:1] == "d" and column[1:].isdigit()]].to_numpy()


def readable_tone(frame: pd.DataFrame) -> float:
    """The share of utterances whose tone a linear classifier, trained on other speakers, reads off; nan for one."""
    groups = frame["speaker"].nunique()
    if groups < 2 or frame["tone"].nunique() < 2:
        return float("nan")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = GroupKFold(min(5, groups))
    said = cross_val_predict(classifier, _points(frame), frame["tone"], groups=frame["speaker"], cv=folds)
    return float((said == frame["tone"]).mean())


def read_logs(
    folder: str | Path, names: Iterable[str], seeds_of: SeedsOf, suffix: str = ".csv"
) -> dict[str, pd.DataFrame]:
    """The tables <folder>/<name>/seed<n>`suffix` by name, those of all seeds below each other, told apart by `seed`.

    A name without any is left out.
    """
    found = {name: seed_files(Path(folder) / name, seeds_of(name), suffix) for name in in_order(names)}
    return {
        name: pd.concat([pd.read_csv(file).assign(seed=seed) for seed, file in files.items()], ignore_index=True)
        for name, files in found.items()
        if files
    }


def cost_table(runs: list[dict]) -> pd.DataFrame:
    """What one run of each stage took, from the records of `results.read_runs`: minutes are means over the runs,
    memory is the most that one of them held."""
    columns = ["stage", "system", "runs", "minutes", "memory, GB", "hardware"]
    rows = [
        {
            "stage": run["stage"],
            "system": name_of(run["system"]) if "system" in run else "",
            "minutes": run["seconds"] / 60,
            "memory, GB": run.get("peak_memory_gb"),
            "hardware": f"{run['hardware'].get('gpu') or run['hardware']['cpu']}, {run['hardware']['cores']} cores",
        }
        for run in runs
    ]
    if not rows:
        return pd.DataFrame(columns=columns)
    of_one = pd.DataFrame(rows).groupby(["stage", "system", "hardware"], sort=False)
    table = of_one.agg(
        **{"runs": ("minutes", "size"), "minutes": ("minutes", "mean"), "memory, GB": ("memory, GB", "max")}
    )
    rounded = {name: table[name].map(lambda value: f"{value:.1f}" if pd.notna(value) else "") for name in columns[3:5]}
    return table.assign(**rounded).reset_index()[columns]
