"""Estimates with 95 % intervals: cluster-robust standard errors, several training runs, several tests at once.

Answers to one sentence, or by one speaker, resemble each other: 300 clips hold less than 300 independent facts. The
standard errors here are therefore robust to clusters (speakers, sentences, dialogues); where a system was trained
several times, the variance of the mean over its runs is added.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

LEVEL = 0.95  # of every interval
ALPHA = (1 - LEVEL) / 2  # one-sided: what a bound of such an interval leaves out


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
    def p(self) -> float:
        """Two-sided p of the figure being 0."""
        return min(1.0, 2 * min(self.p_above(), self.p_below()))


def estimate(
    samples: Sequence[tuple[Sequence, Sequence[Hashable]]], bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """The mean of values over items, training runs and test sets, with its interval inside `bounds`.

    samples: for each test set the values, (items,) or (runs, items), nan where an item was not judged, and the cluster
    of each item. All sets have the same runs, in order. A cluster that occurs in several sets is one.

    The standard error is that of an OLS fit on one constant for each set, robust to clusters; it is combined with the
    standard error of the mean over runs, and the degrees of freedom (clusters - 1 of the smallest set, runs - 1) by
    Satterthwaite's formula. One cluster does not show how clusters vary: the interval is then the whole of `bounds`.
    Where nothing varies, the exact binomial uncertainty of n items is taken.
    """
    sets = [(np.atleast_2d(np.asarray(values, float)), [str(c) for c in clusters]) for values, clusters in samples]
    runs = np.mean([_means(values) for values, _ in sets], axis=0)
    names, groups = np.unique(sum((clusters for _, clusters in sets), []), return_inverse=True)
    value, items, freedom = float(runs.mean()), len(groups), min(len(set(clusters)) for _, clusters in sets) - 1
    facts = {"n": items, "clusters": len(names), "runs": tuple(runs.tolist())}
    if freedom < 1 or not np.isfinite(value):
        return Estimate(value, *bounds, error=float("inf"), freedom=1.0, **facts)
    constants = np.repeat(np.eye(len(sets)), [len(clusters) for _, clusters in sets], axis=0)  # (items, sets)
    judged = np.concatenate([_completed(values, len(set(clusters))).mean(axis=0) for values, clusters in sets])
    options = {"groups": groups, "use_correction": False}  # `_completed` corrects each set for its own few clusters
    fit = OLS(judged, constants).fit(cov_type="cluster", cov_kwds=options, use_t=True)
    between = fit.t_test(np.full(len(sets), 1 / len(sets))).sd.item() ** 2
    if between < 1e-18:
        between = ((1 - ALPHA ** (1 / items)) / stats.t.ppf(1 - ALPHA, freedom)) ** 2
    variances = [(between, freedom)] + ([(stats.sem(runs) ** 2, len(runs) - 1)] if len(runs) > 1 else [])
    total = sum(variance for variance, _ in variances)
    shared = float(total**2 / sum(variance**2 / degrees for variance, degrees in variances))
    half, error = stats.t.ppf(1 - ALPHA, shared) * np.sqrt(total), float(np.sqrt(total))
    low, high = float(max(bounds[0], value - half)), float(min(bounds[1], value + half))
    return Estimate(value, low, high, error=error, freedom=shared, **facts)


def holm(ps: Sequence[float]) -> list[float]:
    """p values adjusted for being several (Holm 1979), in their order."""
    return multipletests(ps, method="holm")[1].tolist() if len(ps) else []


def _means(values: np.ndarray) -> np.ndarray:
    """(runs, items) -> the mean of each run over what was judged; nan where nothing was."""
    count = np.isfinite(values).sum(axis=1)
    return np.divide(np.nansum(values, axis=1), count, out=np.full(len(values), np.nan), where=count > 0)


def _completed(values: np.ndarray, clusters: int) -> np.ndarray:
    """The values with the mean of the run where an item was not judged, and the others' distances from it enlarged by
    as much as they are fewer, and for the degree of freedom that the mean takes: g / (g - 1) of their variance."""
    means, known = _means(values)[:, None], np.isfinite(values)
    enlarged = values.shape[1] / known.sum(axis=1, keepdims=True) * np.sqrt(clusters / (clusters - 1))
    return means + np.where(known, values - means, 0) * enlarged
