"""A system's answers and figures, and the differences between systems, laid out for a reader as frames."""

import math
from collections.abc import Callable

import pandas as pd

from blsp_core.data.manifest import EMOTIONS
from blsp_core.evaluation import metrics as judging
from blsp_core.report.style import in_order, name_of


def cell(figures: dict, metric: str) -> str:
    """A measured share in per cent with its interval, and its spread over training runs where there are several:
    `82.1 [76.4, 87.0] ±1.3`. Empty where nothing could be judged."""
    if not math.isfinite(figures[metric]):
        return ""
    spread = figures.get("sd", {}).get(metric)
    low, high = (100 * end for end in figures["intervals"][metric])
    return f"{100 * figures[metric]:.1f} [{low:.1f}, {high:.1f}]" + (
        f" ±{100 * spread:.1f}" if spread is not None else ""
    )


def one_system(tasks: dict[str, dict]) -> pd.DataFrame:
    """Every figure of one system, a row for each task."""
    rows = [
        {"task": task, "n": figures["n"], "clusters": figures["clusters"]}
        | {metric: cell(figures, metric) for metric in figures["intervals"]}
        for task, figures in tasks.items()
    ]
    return pd.DataFrame(rows).fillna("")


def good_and_bad(rows: list[dict], count: int = 3, is_right: Callable[[dict], bool] = judging.is_right) -> list[int]:
    """The places of the first answers that are right, then of the first that are wrong; not chosen."""
    places = range(len(rows))
    return [place for right in (True, False) for place in [p for p in places if is_right(rows[p]) is right][:count]]


def meets_the_tone(row: dict) -> bool:
    """Whether a reply got at least half of the marks for empathy, whatever help it gives."""
    return (row["empathy"] or 0) >= 0.5


def examples(rows: list[dict], count: int = 3) -> pd.DataFrame:
    """The first answers that are right and the first that are wrong, in the order of the manifest, not chosen."""
    return pd.DataFrame(
        {"said": row["text"], "tone": row["reference"], "answer": row["response"], "right": judging.is_right(row)}
        for row in (rows[place] for place in good_and_bad(rows, count))
    )


def replies_table(predictions: dict[str, dict[str, list[dict]]], text: str, task: str = "showcase") -> pd.DataFrame:
    """What each system, by one of its runs, answers to one sentence in its several tones: a row for each tone, a
    column for each system.

    predictions: system -> task -> rows."""
    rows = {tone: {"spoken": tone} for tone in EMOTIONS}
    for system in in_order(predictions):
        for row in predictions[system].get(task, []):
            if row["text"] == text:
                rows[row["reference"]][name_of(system)] = row["response"]
    return pd.DataFrame([row for row in rows.values() if len(row) > 1])


def empathy_by_tone(metrics: dict[str, dict[str, dict]]) -> pd.DataFrame:
    """system -> task -> figures, as empathy for each tone of the speaker, long: system, tone, empathy."""
    return pd.DataFrame(
        {"system": system, "tone": tone, "empathy": share}
        for system, tasks in metrics.items()
        for tone, share in tasks.get("requests", {"tone_by_tone": {}})["tone_by_tone"].items()
    )


def differences_table(frame: pd.DataFrame, seed: str = "all") -> pd.DataFrame:
    """Differences of `ablations.differences` at one seed or pooled: a row for each variant, a column for each measure.

    A cell reads `-3.4 [-6.0, -0.8] p .012`, in points of per cent; `*` marks an adjusted p below 0.05.
    """
    frame = frame[frame["seed"] == seed]
    rows: dict[str, dict] = {variant: {"variant": name_of(variant)} for variant in in_order(set(frame["variant"]))}
    for row in frame.itertuples():
        interval = f"[{100 * row.low:.1f}, {100 * row.high:.1f}]"
        star = "*" if row.p_holm < 0.05 else ""
        rows[row.variant][row.measure] = f"{100 * row.difference:+.1f} {interval} {_p(row.p_holm)}{star}"
    return pd.DataFrame(rows.values()).fillna("")


def _p(p: float) -> str:
    return "p <.001" if p < 0.001 else f"p {p:.3f}".replace("0.", ".", 1)
