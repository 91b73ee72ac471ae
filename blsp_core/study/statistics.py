"""Intervals and tests: cluster bootstrap, paired differences, exact binomial, several seeds.

Answers to one sentence, or by one voice, resemble each other, so that a test of 300 clips holds less than 300
independent facts. Every interval here therefore resamples clusters (sentences, speakers, dialogues), never items.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, over n items in so many clusters."""

    value: float
    low: float
    high: float
    n: int
    clusters: int

    def as_dict(self) -> dict:
        return asdict(self)

    @property
    def interval(self) -> list[float]:
        return [self.low, self.high]


def bootstrap(
    counts: np.ndarray,
    clusters: Sequence[Hashable],
    statistic: Callable[[np.ndarray], np.ndarray],
    bounds: tuple[float, float] = (0.0, 1.0),
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """A statistic of summed counts with a cluster-bootstrap interval.

    counts: (items, ...) what each item adds to the totals; clusters: (items,) the cluster of each item;
    statistic: totals (..., ...) with any leading axes -> figures, shape of the leading axes.
    Half the interval is Student's t with clusters - 1 degrees of freedom times the bootstrap's standard error, freed of
    its shrinkage by sqrt(g / (g - 1)): with the few voices of a test set, percentiles of the draws are far too narrow.
    One cluster says nothing about the spread between clusters: the interval is then the whole of `bounds`.
    """
    counts = np.asarray(counts, dtype=float)
    names, member = np.unique(_labels(clusters), return_inverse=True)
    groups = len(names)
    totals = np.zeros((groups, *counts.shape[1:]))
    np.add.at(totals, member, counts)  # (clusters, ...)
    value = float(statistic(totals.sum(axis=0)))
    if groups < 2:
        return Estimate(value, *bounds, n=len(counts), clusters=groups)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)  # (draws, clusters)
    figures = statistic(np.tensordot(weights, totals, axes=1))  # (draws,)
    spread = np.nanstd(figures, ddof=1) * np.sqrt(groups / (groups - 1))
    half = float(stats.t.ppf(0.975, groups - 1) * spread)
    low, high = max(bounds[0], value - half), min(bounds[1], value + half)
    return Estimate(value, low, high, n=len(counts), clusters=groups)


def share(hits: Sequence[float], clusters: Sequence[Hashable], draws: int = DRAWS, seed: int = 0) -> Estimate:
    """The mean of values in 0..1 with its interval; where all are 0 or all are 1, the exact binomial one."""
    hits = np.asarray(hits, dtype=float)
    pairs = np.stack([hits, np.ones_like(hits)], axis=1)  # (items, 2)
    estimate = bootstrap(pairs, clusters, lambda t: t[..., 0] / t[..., 1], draws=draws, seed=seed)
    if np.all(hits == hits[0]) and hits[0] in (0, 1):
        return Estimate(estimate.value, *binomial_interval(int(hits.sum()), len(hits)), len(hits), estimate.clusters)
    return estimate


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    clusters: Sequence[Hashable],
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """How much the first system exceeds the second on the same items, in the same order.

    first, second: (items,) values in 0..1, or (items, ...) counts when `statistic` (as in `bootstrap`) is given. Both
    systems meet the same resampled clusters, so that the difficulty of an item cancels.
    """
    if statistic is None:
        first, second = (np.stack([np.asarray(v, float), np.ones(len(v))], axis=1) for v in (first, second))

        def statistic(totals):
            return totals[..., 0] / totals[..., 1]

    both = np.stack([np.asarray(first, float), np.asarray(second, float)], axis=1)  # (items, 2, ...)
    depth = both.ndim - 2

    def gain(totals):
        one, two = np.moveaxis(totals, -1 - depth, 0)
        return statistic(one) - statistic(two)

    return bootstrap(both, clusters, gain, bounds=(-1.0, 1.0), draws=draws, seed=seed)


def binomial_interval(hits: int, n: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) 95 % interval of a share of independent items."""
    found = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def sign_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The exact two-sided p of `first` and `second` being equally often the better one (McNemar's test on 0/1)."""
    difference = np.asarray(first, float) - np.asarray(second, float)
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def mean_over_sets(found: Sequence[Estimate]) -> Estimate:
    """The unweighted mean of estimates on separate test sets, their errors taken as independent."""
    value = float(np.mean([one.value for one in found]))
    below = np.sqrt(sum((one.value - one.low) ** 2 for one in found)) / len(found)
    above = np.sqrt(sum((one.high - one.value) ** 2 for one in found)) / len(found)
    low, high = value - float(below), value + float(above)
    return Estimate(value, low, high, sum(one.n for one in found), sum(one.clusters for one in found))


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean over training runs with Student's interval; one run has no interval (nan)."""
    values = np.asarray(values, dtype=float)
    mean, runs = float(values.mean()), len(values)
    if runs < 2:
        return Estimate(mean, float("nan"), float("nan"), runs, runs)
    half = float(stats.t.ppf(0.975, runs - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half, runs, runs)


def _labels(clusters: Sequence[Hashable]) -> np.ndarray:
    return np.asarray([str(cluster) for cluster in clusters])
