import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from blsp_core.evaluation import intervals


def two_way(hits, speakers, texts):
    """The standard error of statsmodels with two kinds of clusters, without its correction for few of them."""
    fit = OLS(hits.astype(float), np.ones(len(hits)))
    options = {"groups": np.stack([speakers, texts], axis=1), "use_correction": False}
    return fit.fit(cov_type="cluster", cov_kwds=options).bse[0]


def share(hits, clusters):
    return intervals.estimate([(hits, clusters)])


def clustered(rng, groups=8, size=30, mean=0.7, spread=0.1):
    """Hits of speakers that differ: each has a rate of its own around the mean."""
    rates = np.clip(rng.normal(mean, spread, groups), 0, 1)
    return (rng.random((groups, size)) < rates[:, None]).ravel(), np.repeat(np.arange(groups), size)


def trained(rng, runs, items=150, spread=0.08):
    """Hits of training runs that differ: each run has a rate of its own around 0.6; (runs, items)."""
    return rng.random((runs, items)) < rng.normal(0.6, spread, runs)[:, None]


def paired_difference(first, second, clusters):
    return intervals.estimate([(np.subtract(first, second, dtype=float), clusters)], bounds=(-1.0, 1.0))


def test_the_bounds_are_those_of_the_cluster_bootstrap_that_was_here_before():
    """Recorded from the bootstrap of the reference run: one run, two runs, and a paired difference of both."""
    before = {
        6: [[0.7136, 0.8656], [0.6923, 0.8716], [-0.1085, 0.1293]],
        12: [[0.7328, 0.8797], [0.7217, 0.8769], [-0.0831, 0.1595]],
        40: [[0.6854, 0.7896], [0.7037, 0.7949], [-0.0712, 0.0712]],
    }
    rng = np.random.default_rng(11)
    for groups, wanted in before.items():
        speakers = np.arange(480) % groups
        rates = rng.normal(0.75, 0.1, (2, groups))
        first, second = (rng.random((3, 480)) < rate[speakers] for rate in rates)
        found = share(first[0], speakers), share(first, speakers), paired_difference(first, second, speakers)
        for one, bounds in zip(found, wanted, strict=True):
            assert one.interval == pytest.approx(bounds, abs=0.01)


def test_of_one_run_on_one_set_it_is_the_regression_of_statsmodels():
    hits, speakers = clustered(np.random.default_rng(5))
    fit = OLS(hits.astype(float), np.ones(len(hits))).fit(cov_type="cluster", cov_kwds={"groups": speakers}, use_t=True)
    assert share(hits, speakers).interval == pytest.approx(fit.conf_int()[0])


def test_speakers_and_sentences_count_at_once_and_a_kind_with_few_clusters_is_fixed():
    rng = np.random.default_rng(9)
    speakers, texts = np.arange(3000) % 50, rng.permutation(3000) % 60
    hits = rng.random(3000) < 0.5 + 0.3 * (speakers % 2) - 0.3 * (texts % 2)
    found = share(hits, list(zip(speakers, texts, strict=True)))
    assert found.error == pytest.approx(two_way(hits, speakers, texts), rel=0.03) and found.clusters == 50
    assert found.error > max(share(hits, speakers).error, share(hits, texts).error)
    fixed = share(hits, list(zip(speakers, texts % 2, strict=True)))
    assert fixed.error == share(hits, speakers).error


@pytest.mark.parametrize("draw", [clustered, lambda rng: (trained(rng, 3), np.arange(150))])
def test_the_interval_covers_the_truth_about_95_times_in_100(draw):
    """With eight speakers, and with three training runs."""
    rng, truth = np.random.default_rng(0), 0.7 if draw is clustered else 0.6
    found = [share(*draw(rng)) for _ in range(300)]
    assert 0.92 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.99


def test_runs_that_differ_widen_the_interval_and_show_in_the_spread():
    alike, unlike = np.tile([1.0, 0, 1, 1], (3, 25)), np.tile([1.0, 0, 1, 1], (3, 25))
    unlike[0, :20], unlike[2, -20:] = 1, 0
    same, different = (share(hits, np.arange(100)) for hits in (alike, unlike))
    assert (same.sd, same.runs) == (0.0, (0.75, 0.75, 0.75))
    means = unlike.mean(axis=1)
    assert (different.value, different.sd) == pytest.approx((means.mean(), np.std(means, ddof=1)))
    assert different.error == pytest.approx(np.hypot(stats.sem(means), 0.04), rel=0.1)
    assert np.isnan(share(alike[0], np.arange(100)).sd)


def test_the_clusters_are_speakers_and_a_speaker_in_two_test_sets_is_one():
    hits, speakers = clustered(np.random.default_rng(6), spread=0.2)
    one, by_item = share(hits, speakers), share(hits, np.arange(hits.size))
    assert one.high - one.low > 1.5 * (by_item.high - by_item.low)
    same = intervals.estimate([(hits, speakers), (hits, speakers)])
    others = intervals.estimate([(hits, speakers), (hits, speakers + 100)])
    assert same.value == others.value == by_item.value == pytest.approx(one.value)
    assert same.error == pytest.approx(one.error) == pytest.approx(others.error * np.sqrt(2))


def test_a_perfect_share_keeps_the_exact_binomial_uncertainty_and_one_cluster_shows_nothing():
    found = share(np.ones(50), np.arange(50) % 5)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(stats.binomtest(50, 50).proportion_ci(0.95, "exact").low)
    found = share([1, 0, 1], ["only"] * 3)
    assert (found.interval, found.p) == ([0.0, 1.0], 1.0)


def test_pairing_removes_the_difficulty_of_the_items():
    rng = np.random.default_rng(3)
    ease, luck = rng.random(300), rng.random(300)
    first, second = (luck < ease).astype(float), (luck < ease - 0.1).astype(float)
    paired = paired_difference(first, second, np.arange(300))
    shuffled = paired_difference(first, rng.permutation(second), np.arange(300))
    assert paired.value == pytest.approx(first.mean() - second.mean()) and paired.low > 0
    assert paired.high - paired.low < 0.7 * (shuffled.high - shuffled.low)


def test_the_p_values_and_the_interval_agree():
    rng = np.random.default_rng(7)
    found = paired_difference(rng.random((3, 90)), rng.random((3, 90)) - 0.1, np.arange(90) % 9)
    assert found.p_above(found.low) == found.p_below(found.high) == pytest.approx(0.025)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_items_that_were_not_judged_count_on_neither_side():
    rng = np.random.default_rng(8)
    hits, speakers = rng.random(60) < 0.6, np.arange(60) % 10
    known = share(hits, speakers)
    found = share([*hits, *[np.nan] * 20], [*speakers, *np.arange(20) % 10])
    assert found.value == known.value and found.interval == pytest.approx(known.interval)
    assert np.isnan(share([np.nan, np.nan], [1, 2]).value)


def test_holms_adjustment_multiplies_the_smallest_by_their_number():
    assert intervals.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06]) and intervals.holm([]) == []
