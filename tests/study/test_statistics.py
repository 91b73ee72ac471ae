import numpy as np
import pytest
from scipy import stats

from blsp_core.study import statistics


def clustered(rng, groups=8, size=30, mean=0.7, spread=0.1):
    """Hits of voices that differ: each voice has a rate of its own around the mean."""
    rates = np.clip(rng.normal(mean, spread, groups), 0, 1)
    return rng.random((groups, size)) < rates[:, None], np.repeat(np.arange(groups), size)


def test_the_interval_of_a_share_covers_the_truth_about_95_times_in_100_even_with_eight_voices():
    rng = np.random.default_rng(0)
    covered = 0
    for run in range(300):
        hits, voices = clustered(rng)
        found = statistics.share(hits.ravel(), voices, draws=300, seed=run)
        covered += found.low <= 0.7 <= found.high
    assert 0.92 <= covered / 300 <= 0.98


def test_ignoring_the_voices_would_claim_too_much():
    hits, voices = clustered(np.random.default_rng(1), spread=0.2)
    by_voice = statistics.share(hits.ravel(), voices)
    by_item = statistics.share(hits.ravel(), np.arange(hits.size))
    assert by_voice.value == by_item.value == pytest.approx(hits.mean())
    assert by_voice.high - by_voice.low > 1.5 * (by_item.high - by_item.low)


def test_with_independent_items_the_interval_is_the_textbook_one():
    hits = np.random.default_rng(2).random(400) < 0.6
    found = statistics.share(hits, np.arange(400), draws=4000)
    half = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 400)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)


def test_a_perfect_share_keeps_the_exact_binomial_doubt():
    found = statistics.share(np.ones(50), np.arange(50) % 5)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 50))


def test_one_cluster_says_nothing_about_the_spread():
    assert statistics.share([1, 0, 1], ["only"] * 3).interval == [0.0, 1.0]


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


def test_equal_seeds_give_equal_intervals():
    hits, voices = clustered(np.random.default_rng(4))
    once, again = (statistics.share(hits.ravel(), voices, seed=5) for _ in range(2))
    assert once == again
    assert once != statistics.share(hits.ravel(), voices, seed=6)


def test_the_sign_test_is_the_exact_binomial_on_the_disagreements():
    first, second = [1, 1, 1, 1, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0, 0, 1]
    assert statistics.sign_test(first, second) == pytest.approx(stats.binomtest(6, 6).pvalue)
    assert statistics.sign_test([1, 0], [1, 0]) == 1.0


def test_several_seeds_give_students_interval_and_one_seed_gives_none():
    found = statistics.over_seeds([0.7, 0.8, 0.75])
    assert found.value == pytest.approx(0.75)
    assert found.high - found.value == pytest.approx(4.3027 * 0.05 / np.sqrt(3), rel=1e-3)
    assert np.isnan(statistics.over_seeds([0.7]).low)
