"""Estimates with 95 % intervals: cluster-robust standard errors, several training runs, several tests at once.

Answers to one sentence, or by one speaker, resemble each other: 300 clips hold less than 300 independent facts. The
standard errors here are therefore robust to clusters of both kinds, speakers and sentences (two-way clustering,
Cameron, Gelbach and Miller 2011); where a system was trained several times, the variance of the mean over its runs is
added.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

LEVEL = 0.95  # of every interval
ALPHA = (1 - LEVEL) / 2  # one-sided: what a bound of such an interval leaves out
FEWEST = 5  # sentences of a set from which their spread is estimated; RAVDESS's two are taken as fixed


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, over n items in so many clusters and over one or several training runs."""

    value: float
    low: float
    high: float
    n: int
    clusters: int
    error: float  # standard error, of clusters and runs together; infinite where there is a single cluster
    freedom: float  # degrees of freedom of that error
    runs: tuple[float, ...]  # the figure of each training run

    @property
    def interval(self) -> list[float]:
        return [self.low, self.high]

    @property
    def sd(self) -> float:
        """Standard deviation over training runs; nan for a single one."""
        return round(float(np.std(self.runs, ddof=1)), 9) if len(self.runs) > 1 else float("nan")

    def p_above(self, bound: float = 0.0) -> float:
        """One-sided p of the figure being no higher than `bound`: small where it is significantly higher."""
        return float(stats.t.sf((self.value - bound) / self.error, self.freedom))

    def p_below(self, bound: float = 0.0) -> float:
        """One-sided p of the figure being no lower than `bound`."""
        return float(stats.t.cdf((self.value - bound) / self.error, self.freedom))

    @property
    def detectable(self) -> float:
        """The smallest true distance from a threshold that a test at 0.025 finds in four of five cases."""
        return float((stats.t.ppf(1 - ALPHA, self.freedom) + stats.t.ppf(0.8, self.freedom)) * self.error)

    @property
    def p(self) -> float:
        """Two-sided p of the figure being 0."""
        return min(1.0, 2 * min(self.p_above(), self.p_below()))


def estimate(
    samples: Sequence[tuple[Sequence, Sequence[Hashable]]], bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """The mean of values over items, training runs and test sets, with its interval inside `bounds`.

    samples: for each test set the values, (items,) or (runs, items), nan where an item was not judged, and the cluster
    of each item, or a tuple of its clusters of several kinds (speaker, sentence). All sets have the same runs, in
    order. A cluster that occurs in several sets is one.

    The variance over items is robust to clusters; with two kinds it is the sum of that of either less that of their
    intersections, and not below that of either. In a set with less than `FEWEST` clusters of the second kind, or one of
    the first, these are taken as fixed. It is combined with the variance of the mean over runs, and the degrees of
    freedom (clusters - 1 of the kind and set with the fewest, runs - 1) by Satterthwaite's formula. One cluster does
    not show how clusters vary: the interval is then the whole of `bounds`. It is never narrower than what n equal
    answers leave open (exact binomial), which is optimistic for answers in clusters.
    """
    sets = [np.atleast_2d(np.asarray(values, float)) for values, _ in samples]
    runs = np.mean([_means(values) for values in sets], axis=0)
    kinds, counts = _kinds([clusters for _, clusters in samples])
    value, items = float(runs.mean()), sum(values.shape[1] for values in sets)
    freedom, clusters = min(counts) - 1, min(len(set(sum(kind, []))) for kind in kinds)
    facts = {"n": items, "clusters": clusters, "runs": tuple(runs.tolist())}
    if freedom < 1 or not np.isfinite(value):
        return Estimate(value, *bounds, error=float("inf"), freedom=1.0, **facts)
    each = [_variance(sets, kind) for kind in kinds]
    if len(kinds) == 2:
        both = [list(zip(*parts, strict=True)) for parts in zip(*kinds, strict=True)]
        each.append(sum(each) - _variance(sets, both))
    least = (1 - ALPHA ** (1 / items)) / stats.t.ppf(1 - ALPHA, freedom)
    between = max(*each, least**2)
    variances = [(between, freedom)] + ([(stats.sem(runs) ** 2, len(runs) - 1)] if len(runs) > 1 else [])
    total = sum(variance for variance, _ in variances)
    shared = float(total**2 / sum(variance**2 / degrees for variance, degrees in variances))
    half, error = stats.t.ppf(1 - ALPHA, shared) * np.sqrt(total), float(np.sqrt(total))
    low, high = float(max(bounds[0], value - half)), float(min(bounds[1], value + half))
    return Estimate(value, low, high, error=error, freedom=shared, **facts)


def _kinds(samples: Sequence[Sequence[Hashable]]) -> tuple[list[list[list[Hashable]]], list[int]]:
    """For each kind of cluster, one or two, the clusters of the items of every set: of a kind that is fixed there, one
    for each item. And the numbers of clusters of the kinds that are not."""
    kinds: dict[int, list] = {}
    counts = []
    for number, clusters in enumerate(samples):
        parts = [list(part) for part in zip(*(c if isinstance(c, tuple) else (c,) for c in clusters), strict=True)]
        sizes = [len(set(part)) for part in parts]
        varies = [sizes[0] > 1 or max(sizes) == 1, *(size >= FEWEST or size == max(sizes) for size in sizes[1:])]
        for kind, (part, own) in enumerate(zip(parts, varies, strict=True)):
            kinds.setdefault(kind, []).append(part if own else [(number, item) for item in range(len(part))])
        counts += [size for size, own in zip(sizes, varies, strict=True) if own]
    return list(kinds.values()), counts


def _variance(sets: Sequence[np.ndarray], kind: Sequence[Sequence[Hashable]]) -> float:
    """Of the mean over runs, items and sets: the sum over clusters of the squared sums of their items' parts in it."""
    sums: dict[Hashable, float] = {}
    for values, clusters in zip(sets, kind, strict=True):
        parts = _distances(values, len(set(clusters))).mean(axis=0) / values.shape[1] / len(sets)
        for cluster, part in zip(clusters, parts.tolist(), strict=True):
            sums[cluster] = sums.get(cluster, 0.0) + part
    return sum(part**2 for part in sums.values())


def holm(ps: Sequence[float]) -> list[float]:
    """p values adjusted for being several (Holm 1979), in their order."""
    return multipletests(ps, method="holm")[1].tolist() if len(ps) else []


def _means(values: np.ndarray) -> np.ndarray:
    """(runs, items) -> the mean of each run over what was judged; nan where nothing was."""
    count = np.isfinite(values).sum(axis=1)
    return np.divide(np.nansum(values, axis=1), count, out=np.full(len(values), np.nan), where=count > 0)


def _distances(values: np.ndarray, clusters: int) -> np.ndarray:
    """From the mean of the run, 0 where an item was not judged; enlarged by as much as the judged are fewer, and for
    the degree of freedom that the mean takes: g / (g - 1) of the variance."""
    known = np.isfinite(values)
    enlarged = values.shape[1] / known.sum(axis=1, keepdims=True) * np.sqrt(clusters / (clusters - 1))
    return np.where(known, values - _means(values)[:, None], 0) * enlarged
