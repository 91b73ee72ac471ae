"""Two systems' replies to the same dialogues: which is better, how often, and how surely."""

from collections.abc import Sequence

import numpy as np

from blsp_core.evaluation import intervals as statistics
from blsp_core.evaluation import metrics as judging
from blsp_core.evaluation.intervals import Estimate
from blsp_core.evaluation.judges import LOSS, TIE, WIN, Grammar, Judge, Preference
from blsp_core.evaluation.results import Predictions, paired

Pairs = list[list[Preference]]  # of every training run, the preference in every dialogue, in one order
DIALOGUE = "dialogue"  # the task of figure 3
WORTH = {"preference": {WIN: 1.0, TIE: 0.0, LOSS: -1.0}, "unbeaten": {WIN: 0.5, TIE: 0.5, LOSS: -0.5}}


def preferences(
    first: Sequence[list[dict]], second: Sequence[list[dict]], judge: Judge | None = None
) -> tuple[Pairs, list[str]]:
    """What the judge (None: the grammar) prefers, run by run, and the cluster of every dialogue."""
    judge = judge or Grammar()
    ones, others = judging.aligned(first, second)
    return [judge.prefer(a, b) for a, b in zip(ones, others, strict=True)], [judging.cluster_of(r) for r in ones[0]]


def estimate(
    pairs: Pairs, clusters: Sequence[str], metric: str = "preference", draws: int = statistics.DRAWS, seed: int = 0
) -> Estimate:
    """preference: the share of wins less that of losses, -1..1. unbeaten: the share of wins and ties less a half.

    Dialogues without a verdict count on neither side.
    """
    worth = WORTH[metric]
    counts = np.array([[(worth.get(p.outcome, 0.0), float(p.outcome is not None)) for p in run] for run in pairs])
    return statistics.bootstrap([(counts, clusters)], bounds=(-1.0, 1.0), draws=draws, seed=seed)


def rates(pairs: Pairs) -> dict:
    """Shares of win, tie and loss among the dialogues with a verdict; flips, the share of these whose verdict changed
    with the order; unjudged, the share of all without one; n. Means over training runs, their spread under `sd`."""
    runs = [_rates(run) for run in pairs]
    means = {name: float(np.nanmean([run[name] for run in runs])) for name in runs[0]}
    figures = {**means, "n": len(pairs[0]), "seeds": len(runs)}
    if len(runs) > 1:
        figures["sd"] = {name: round(float(np.std([run[name] for run in runs], ddof=1)), 9) for name in runs[0]}
    return figures


def against_all(
    predictions: Predictions,
    system: str = "blsp-emo",
    judge: Judge | None = None,
    draws: int = statistics.DRAWS,
    seed: int = 0,
) -> dict[str, dict]:
    """`rates` of one system against every other in the dialogues that both had, by "<system>.vs.<rival>"; beside them
    `preference`, wins less losses, and its `interval`. Empty where the system had none."""
    found = {}
    for rival in predictions:
        sets = paired(predictions[system], predictions[rival], DIALOGUE) if system in predictions else None
        if rival != system and sets:
            pairs, clusters = preferences(*sets, judge)
            net = estimate(pairs, clusters, "preference", draws, seed)
            figures = {**rates(pairs), "preference": net.value, "interval": net.interval, "clusters": net.clusters}
            found[f"{system}.vs.{rival}"] = figures
    return found


def _rates(run: list[Preference]) -> dict[str, float]:
    judged = [one for one in run if one.outcome is not None]
    shares = {name: _share([one.outcome == name for one in judged]) for name in (WIN, TIE, LOSS)}
    return {**shares, "flips": _share([one.flipped for one in judged]), "unjudged": 1 - len(judged) / len(run)}


def _share(hits: list[bool]) -> float:
    return float(np.mean(hits)) if hits else float("nan")
