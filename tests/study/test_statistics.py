import numpy as np
import pytest
from scipy import stats

from blsp_core.evaluation import intervals as statistics


def clustered(rng, groups=8, size=30, mean=0.7, spread=0.1):
    """Hits of voices that differ: each voice has a rate of its own around the mean."""
    rates = np.clip(rng.normal(mean, spread, groups), 0, 1)
    return rng.random((groups, size)) < rates[:, None], np.repeat(np.arange(groups), size)


def trained(rng, runs, items=150, spread=0.08):
    """Hits of training runs that differ: each run has a rate of its own around 0.6; (runs, items)."""
    return rng.random((runs, items)) < rng.normal(0.6, spread, runs)[:, None]


def test_the_interval_of_a_share_covers_the_truth_about_95_times_in_100_even_with_eight_voices():
    rng = np.random.default_rng(0)
    covered = 0
    for run in range(300):
        hits, voices = clustered(rng)
        found = statistics.share(hits.ravel(), voices, draws=300, seed=run)
        covered += found.low <= 0.7 <= found.high
    assert 0.92 <= covered / 300 <= 0.98


def test_the_interval_over_training_runs_covers_the_truth_as_often_even_with_three():
    rng = np.random.default_rng(1)
    covered = 0
    for run in range(300):
        found = statistics.share(trained(rng, 3), np.arange(150), draws=200, seed=run)
        covered += found.low <= 0.6 <= found.high
    assert 0.92 <= covered / 300 <= 0.99


def test_runs_that_differ_widen_the_interval_and_show_in_the_spread():
    alike, unlike = np.tile([1.0, 0, 1, 1], (3, 25)), np.tile([1.0, 0, 1, 1], (3, 25))
    unlike[0, :20], unlike[2, -20:] = 1, 0
    same, different = (statistics.share(hits, np.arange(100)) for hits in (alike, unlike))
    assert (same.sd, same.runs) == (0.0, (0.75, 0.75, 0.75))
    assert different.sd == pytest.approx(np.std(unlike.mean(axis=1), ddof=1))
    assert different.value == pytest.approx(unlike.mean())
    assert different.error == pytest.approx(np.hypot(stats.sem(unlike.mean(axis=1)), 0.04), rel=0.1)
    assert np.isnan(statistics.share(alike[0], np.arange(100)).sd)


def test_ignoring_the_voices_would_claim_too_much():
    hits, voices = clustered(np.random.default_rng(1), spread=0.2)
    by_voice = statistics.share(hits.ravel(), voices)
    by_item = statistics.share(hits.ravel(), np.arange(hits.size))
    assert by_voice.value == by_item.value == pytest.approx(hits.mean())
    assert by_voice.high - by_voice.low > 1.5 * (by_item.high - by_item.low)


def test_a_voice_that_speaks_in_two_test_sets_is_one_voice():
    hits, voices = clustered(np.random.default_rng(6), spread=0.2)
    counts = np.stack([hits.ravel(), np.ones(hits.size)], axis=1)[None].astype(float)
    one = statistics.bootstrap([(counts, voices)])
    same = statistics.bootstrap([(counts, voices), (counts, voices)])
    others = statistics.bootstrap([(counts, voices), (counts, voices + 100)])
    assert same.value == others.value == pytest.approx(one.value)
    assert same.error == pytest.approx(one.error)
    assert others.error == pytest.approx(one.error / np.sqrt(2), rel=0.1)


def test_with_independent_items_the_interval_is_the_textbook_one():
    hits = np.random.default_rng(2).random(400) < 0.6
    found = statistics.share(hits, np.arange(400), draws=4000)
    half = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 400)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)


def test_a_perfect_share_keeps_the_exact_binomial_doubt():
    found = statistics.share(np.ones(50), np.arange(50) % 5)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(stats.binomtest(50, 50).proportion_ci(0.95, "exact").low)


def test_one_cluster_says_nothing_about_the_spread():
    found = statistics.share([1, 0, 1], ["only"] * 3)
    assert (found.interval, found.p) == ([0.0, 1.0], 1.0)


def test_pairing_takes_the_difficulty_of_the_items_out():
    rng = np.random.default_rng(3)
    ease = rng.random(300)
    luck = rng.random(300)
    first, second = (luck < ease).astype(float), (luck < ease - 0.1).astype(float)
    paired = statistics.paired_difference(first, second, np.arange(300))
    shuffled = statistics.paired_difference(first, rng.permutation(second), np.arange(300))
    assert paired.value == pytest.approx(first.mean() - second.mean())
    assert paired.low > 0
    assert paired.high - paired.low < 0.7 * (shuffled.high - shuffled.low)


def test_the_p_values_and_the_interval_say_the_same():
    rng = np.random.default_rng(7)
    found = statistics.paired_difference(rng.random((3, 90)), rng.random((3, 90)) - 0.1, np.arange(90) % 9)
    assert found.p_above(found.low) == pytest.approx(0.025)
    assert found.p_below(found.high) == pytest.approx(0.025)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_equal_seeds_give_equal_intervals():
    hits, voices = clustered(np.random.default_rng(4))
    once, again = (statistics.share(hits.ravel(), voices, seed=5) for _ in range(2))
    assert once == again
    assert once != statistics.share(hits.ravel(), voices, seed=6)


def test_what_was_not_judged_counts_on_neither_side():
    counts = np.array([[[1.0, 1], [0, 0], [0, 1], [1, 1]]])
    assert statistics.bootstrap([(counts, range(4))]).value == pytest.approx(2 / 3)
    assert np.isnan(statistics.ratio(np.zeros((1, 2)))[0])


def test_holms_adjustment_multiplies_the_smallest_by_their_number():
    assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert statistics.holm([]) == []
