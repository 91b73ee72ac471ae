"""Intervals and tests: the cluster bootstrap, paired differences, several training runs, many comparisons at once.

Answers to one sentence, or by one voice, resemble each other, so that a test of 300 clips holds less than 300
independent facts. Every interval here therefore resamples clusters (sentences, speakers, dialogues), never items; and
where a system was trained several times, its training runs as well.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

DRAWS = 2000
LEVEL = 0.95  # of every interval
ALPHA = (1 - LEVEL) / 2  # one-sided: what a bound of such an interval leaves out
# What the items of one test set add to the totals, (runs, items, ...), and the cluster of each item, (items,).
Sample = tuple[np.ndarray, Sequence[Hashable]]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, over n items in so many clusters and over one or several training runs."""

    value: float
    low: float
    high: float
    n: int
    clusters: int
    error: float  # standard error, of clusters and runs together; infinite where one cluster says nothing of it
    freedom: float  # degrees of freedom of that error
    runs: tuple[float, ...]  # the figure of each training run

    @property
    def interval(self) -> list[float]:
        return [self.low, self.high]

    @property
    def sd(self) -> float:
        """The spread over training runs; nan for a single one."""
        return round(float(np.std(self.runs, ddof=1)), 9) if len(self.runs) > 1 else float("nan")

    def p_above(self, bound: float = 0.0) -> float:
        """One-sided p of the figure being no higher than `bound`: small where it surely is higher."""
        return float(stats.t.sf((self.value - bound) / self.error, self.freedom))

    def p_below(self, bound: float = 0.0) -> float:
        """One-sided p of the figure being no lower than `bound`."""
        return float(stats.t.cdf((self.value - bound) / self.error, self.freedom))

    @property
    def p(self) -> float:
        """Two-sided p of the figure being 0."""
        return min(1.0, 2 * min(self.p_above(), self.p_below()))


def ratio(totals: np.ndarray) -> np.ndarray:
    """Totals (..., 2) of a sum and of what it counts -> their ratios; nan where nothing was counted."""
    above, below = totals[..., 0], totals[..., 1]
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def bootstrap(
    samples: Sequence[Sample],
    statistic: Callable[[np.ndarray], np.ndarray] = ratio,
    bounds: tuple[float, float] = (0.0, 1.0),
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """The mean over training runs, and over test sets, of a statistic of summed counts, with its interval.

    samples: one (counts, clusters) for each test set; all have the same training runs, in order. A cluster that
    occurs in several sets is one: the same voice is resampled in all of them together.
    statistic: totals (..., ...) with any leading axes -> figures, shape of the leading axes; it must not depend on the
    scale of the totals.

    Clusters are resampled by Rubin's Bayesian bootstrap (Annals of Statistics 9, 1981): every draw gives them weights
    from the exponential distribution, so that none, and no emotion, ever drops out altogether. Its standard error is
    freed of its shrinkage by sqrt((g + 1) / (g - 1)) for g clusters. Resampling the runs needs no draws, as the figure
    is their mean: it is the standard error of that mean. Half the interval is Student's t times the root of both
    squares, with Satterthwaite's degrees of freedom: with the few voices of a test set, and the few runs of a study,
    percentiles of the draws are far too narrow. One cluster says nothing about the spread between clusters: the
    interval is then the whole of `bounds`. Where nothing varies at all, the exact binomial doubt about n items is left.
    """
    names = sorted({str(cluster) for _, clusters in samples for cluster in clusters})
    place = {name: number for number, name in enumerate(names)}
    weights = np.random.default_rng(seed).exponential(size=(draws, len(names)))
    runs, drawn, fewest, items = 0.0, 0.0, np.inf, 0
    for counts, clusters in samples:
        present, member = np.unique([place[str(cluster)] for cluster in clusters], return_inverse=True)
        totals = np.zeros((len(counts), len(present), *np.shape(counts)[2:]))
        np.add.at(totals, (slice(None), member), np.asarray(counts, dtype=float))  # (runs, clusters, ...)
        figures = statistic(totals.sum(axis=1))  # (runs,)
        again = statistic(np.tensordot(weights[:, present], totals, axes=(1, 1)))  # (draws, runs)
        groups = len(present)
        freed = np.sqrt((groups + 1) / max(groups - 1, 1))
        runs = runs + figures / len(samples)
        drawn = drawn + freed * (again - figures).mean(axis=1) / len(samples)
        fewest, items = min(fewest, groups), items + np.shape(counts)[1]
    return _estimate(runs, drawn, int(fewest) - 1, bounds, items, len(names))


def _estimate(
    runs: np.ndarray, drawn: np.ndarray, freedom: int, bounds: tuple[float, float], items: int, clusters: int
) -> Estimate:
    value, several = float(np.mean(runs)), tuple(float(run) for run in runs)
    if freedom < 1:
        return Estimate(value, *bounds, items, clusters, float("inf"), 1.0, several)
    between = float(np.var(drawn, ddof=1))
    if between < 1e-18:  # nothing varies
        between = ((1 - ALPHA ** (1 / items)) / stats.t.ppf(1 - ALPHA, freedom)) ** 2
    variances = [(between, freedom)]
    if len(several) > 1:
        variances.append((float(stats.sem(several)) ** 2, len(several) - 1))
    total = sum(variance for variance, _ in variances)
    shared = total**2 / sum(variance**2 / degrees for variance, degrees in variances)
    half = float(stats.t.ppf(1 - ALPHA, shared) * np.sqrt(total))
    low, high = max(bounds[0], value - half), min(bounds[1], value + half)
    return Estimate(value, low, high, items, clusters, float(np.sqrt(total)), float(shared), several)


def share(hits: Sequence, clusters: Sequence[Hashable], draws: int = DRAWS, seed: int = 0) -> Estimate:
    """The mean of values in 0..1, (items,) or (runs, items), with its interval."""
    return bootstrap([(_counted(hits), clusters)], draws=draws, seed=seed)


def paired_difference(
    first: Sequence, second: Sequence, clusters: Sequence[Hashable], draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """How much the values of the first system, (items,) or (runs, items), exceed the second's on the same items."""
    both = np.stack([_counted(first), _counted(second)], axis=2)
    return bootstrap([(both, clusters)], gain(ratio), bounds=(-1.0, 1.0), draws=draws, seed=seed)


def gain(statistic: Callable[[np.ndarray], np.ndarray], depth: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    """The statistic of the first system less that of the second, for totals (..., 2, ...) of both.

    depth: how many axes the totals of one system have. Both systems meet the same resampled clusters, so that the
    difficulty of an item cancels.
    """

    def gained(totals: np.ndarray) -> np.ndarray:
        one, two = np.moveaxis(totals, -1 - depth, 0)
        return statistic(one) - statistic(two)

    return gained


def holm(ps: Sequence[float]) -> list[float]:
    """p values adjusted for being several (Holm 1979), in their order."""
    from statsmodels.stats.multitest import multipletests  # here: few notebooks ask for it, and it takes long to load

    return [float(p) for p in multipletests(ps, method="holm")[1]] if len(ps) > 1 else [float(p) for p in ps]


def _counted(values: Sequence) -> np.ndarray:
    """(items,) or (runs, items) -> (runs, items, 2), each value beside a 1."""
    values = np.atleast_2d(np.asarray(values, dtype=float))
    return np.stack([values, np.ones_like(values)], axis=-1)
