from __future__ import annotations

import math

import numpy as np
import pytest

from agentrl.evaluation.paired import (
    detectable_difference,
    paired_difference,
    resampled_means,
)


def test_resampling_is_drawing_tasks_with_replacement() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([-1.0, 0.0, 0.0, 1.0, 0.25], 40)
    fast = resampled_means(values, np.random.default_rng(1), 40_000)
    plain = values[rng.integers(0, 40, (40_000, 40))].mean(axis=1)
    for q in (0.025, 0.25, 0.5, 0.75, 0.975):
        assert np.quantile(fast, q) == pytest.approx(np.quantile(plain, q), abs=0.008)
    assert fast.std() == pytest.approx(values.std() / math.sqrt(40), rel=0.02)


def test_resampling_many_distinct_values_in_parts() -> None:
    values = np.random.default_rng(0).normal(size=3000)
    means = resampled_means(values, np.random.default_rng(1), 2000)
    assert means.shape == (2000,)
    assert means.std() == pytest.approx(values.std() / math.sqrt(3000), rel=0.1)


def test_the_difference_and_its_seed() -> None:
    a = np.array([0, 0, 1, 1, 0, 0.5, 0, 1] * 10)
    b = np.array([1, 0, 1, 1, 0, 1.0, 1, 0] * 10)
    difference = paired_difference(a, b, span=1.0)
    assert difference.value == pytest.approx((b - a).mean())
    assert difference.low < difference.value < difference.high
    assert difference == paired_difference(a, b, span=1.0)
    assert difference != paired_difference(a, b, span=1.0, seed=1)
    back = paired_difference(b, a, span=1.0)
    assert back.value == -difference.value
    assert back.probability == pytest.approx(1 - difference.probability, abs=0.02)
    assert back.detectable == difference.detectable


def test_a_clear_difference_and_none() -> None:
    rng = np.random.default_rng(4)
    a = (rng.random(300) < 0.4).astype(float)
    better = np.maximum(a, rng.random(300) < 0.3)
    clear = paired_difference(a, better, span=1.0)
    assert clear.is_significant
    assert clear.p_value < 0.001
    assert clear.probability > 0.999
    none = paired_difference(a, rng.permutation(a), span=1.0)
    assert none.value == 0
    assert not none.is_significant
    assert none.p_value > 0.9
    assert none.probability == pytest.approx(0.5, abs=0.02)


def test_pairing_takes_out_how_hard_tasks_are() -> None:
    rng = np.random.default_rng(5)
    hard = rng.random(200)
    a, b = hard, hard + 0.02 + rng.normal(0, 0.01, 200)
    assert paired_difference(a, b).is_significant
    assert not paired_difference(a, rng.permutation(b)).is_significant


def test_interval_and_p_value_agree_on_significance() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        a, b = rng.integers(0, 2, (2, 60)).astype(float)
        difference = paired_difference(a, b, span=1.0)
        if abs(difference.p_value - 0.05) > 0.01:
            assert difference.is_significant == (difference.p_value < 0.05)


def test_under_no_difference_the_interval_misses_5_times_in_100() -> None:
    rng = np.random.default_rng(7)
    pairs = (rng.random((300, 2, 100)) < 0.5).astype(float)
    missed = sum(paired_difference(*p, span=1.0, resamples=1000).is_significant for p in pairs)
    assert 0.02 <= missed / 300 <= 0.09


def test_the_detectable_difference_is_found_4_times_in_5() -> None:
    """Two policies of success p and p + d on n tasks, d the detectable difference."""
    n, p = 200, 0.4
    d = 0.13
    for _ in range(20):  # d depends on the spread, which depends on d
        spread = math.sqrt(p * (1 - p) + (p + d) * (1 - p - d))
        d = detectable_difference(spread, n)
    rng = np.random.default_rng(8)
    found = 0
    for _ in range(300):
        a, b = (rng.random((2, n)) < np.array([[p], [p + d]])).astype(float)
        found += paired_difference(a, b, span=1.0, resamples=1000).low > 0
    assert 0.73 <= found / 300 <= 0.87


@pytest.mark.parametrize("n", [1, 5, 6, 200])
def test_no_spread_is_no_certainty(n: int) -> None:
    zeros, ones = np.zeros(n), np.ones(n)
    same = paired_difference(zeros, zeros, span=1.0)
    assert same.low < 0 < same.high
    assert (same.value, same.p_value, same.probability) == (0, 1, 0.5)
    assert same.detectable > 0
    apart = paired_difference(zeros, ones, span=1.0)
    assert apart.value == apart.high == 1
    assert apart.low < 1
    assert apart.is_significant == (n >= 6)
    # The bound is that of n tasks that all came out alike (exact binomial, one-sided).
    assert same.high == pytest.approx(1 - 0.05 ** (1 / n))


def test_few_tasks_cannot_be_very_significant() -> None:
    difference = paired_difference(np.zeros(3), np.array([0.5, 0.6, 0.7]), span=1.0)
    assert difference.p_value >= 0.25
    assert difference.low > 0
    assert not difference.is_significant


@pytest.mark.parametrize("n", [2, 4, 7, 12])
def test_few_tasks_have_intervals_that_hold_the_truth_too(n: int) -> None:
    rng = np.random.default_rng(9)
    pairs = rng.normal(size=(600, 2, n)) + np.array([[0.0], [0.7]])
    found = [paired_difference(*pair, resamples=1000) for pair in pairs]
    covered = sum(difference.low <= 0.7 <= difference.high for difference in found)
    assert 0.92 <= covered / 600 <= 0.98
    null = [paired_difference(pair[0], pair[1] - 0.7, resamples=1000) for pair in pairs]
    assert sum(difference.is_significant for difference in null) / 600 <= 0.08


def test_no_interval_goes_beyond_what_rates_can_differ_by() -> None:
    a, b = np.zeros(3), np.array([0.0, 1.0, 1.0])
    difference = paired_difference(a, b, span=1.0)
    assert -1 <= difference.low < 0 < difference.high == 1
    assert paired_difference(a, b).high > 1


def test_scores_all_alike_are_no_certainty() -> None:
    for score, span in ((0.0, 1.0), (10.0, 10.0)):
        difference = paired_difference(np.full(4, score), np.full(4, score))
        assert difference == paired_difference(np.zeros(4), np.zeros(4), span=span)
        assert difference.low < 0 < difference.high


def test_rounding_is_not_spread() -> None:
    a = np.full(7, 0.1)
    b = a + np.array([0.2, 0.2, 0.2, 0.2, 0.1 + 0.1, 0.3 - 0.1, 0.2])
    assert paired_difference(a, b, span=1.0).low < 0.2 - 0.05
