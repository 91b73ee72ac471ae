"""A system's answers and figures laid out for a reader, as frames."""

import pandas as pd

from blsp_core.speech.manifest import EMOTIONS
from blsp_core.study import judging
from blsp_core.study.figures import in_order, name_of


def cell(figures: dict, metric: str) -> str:
    """A measured share in per cent with its interval: `82.1 [76.4, 87.0]`."""
    low, high = figures["intervals"][metric]
    return f"{100 * figures[metric]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def one_system(tasks: dict[str, dict]) -> pd.DataFrame:
    """Every figure of one system, a row for each task."""
    rows = [
        {"task": task, "n": figures["n"], "clusters": figures["clusters"]}
        | {metric: cell(figures, metric) for metric in figures["intervals"]}
        for task, figures in tasks.items()
    ]
    return pd.DataFrame(rows).fillna("")


def examples(rows: list[dict], count: int = 3) -> pd.DataFrame:
    """The first answers that are right and the first that are wrong, in the order of the manifest, not chosen."""
    kinds = [[row for row in rows if judging.is_right(row) is right][:count] for right in (True, False)]
    return pd.DataFrame(
        {"said": row["text"], "tone": row["reference"], "answer": row["response"], "right": judging.is_right(row)}
        for kind in kinds
        for row in kind
    )


def replies_table(predictions: dict[str, dict[str, list[dict]]], text: str, task: str = "showcase") -> pd.DataFrame:
    """What each system answers to one sentence in its several tones: a row for each tone, a column for each system."""
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
