from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from agentrl.evaluation.statistics import (
    Estimate,
    mean_score,
    pass_at,
    pass_at_k,
    success_rate,
    t95,
    wilson,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 20), (20, 20), (1, 20), (7, 13), (150, 200), (1, 1)]
)
def test_one_attempt_per_task_is_the_wilson_interval(successes: int, n: int) -> None:
    estimate = success_rate([[i < successes] for i in range(n)])
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert estimate.value == pytest.approx(successes / n)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("solved", [True, False])
@pytest.mark.parametrize(("tasks", "attempts"), [(1, 1), (3, 1), (3, 8), (200, 4)])
def test_all_or_none_is_never_certain(solved: bool, tasks: int, attempts: int) -> None:
    estimate = success_rate([[solved] * attempts] * tasks)
    assert estimate.value == float(solved)
    assert estimate.high - estimate.low > 0.01
    assert estimate.low <= estimate.value <= estimate.high
    assert 0 <= estimate.low <= estimate.high <= 1


def test_attempts_that_only_repeat_each_other_tell_no_more() -> None:
    once = success_rate([[i % 2 == 0] for i in range(100)])
    copied = success_rate([[i % 2 == 0] * 8 for i in range(100)])
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.03)


def test_independent_attempts_tell_more() -> None:
    rng = np.random.default_rng(0)
    once = success_rate([[bool(rng.random() < 0.5)] for _ in range(100)])
    often = success_rate((rng.random((100, 8)) < 0.5).tolist())
    assert (often.high - often.low) / (once.high - once.low) < 0.5


def test_tasks_weigh_alike_and_those_without_attempts_not_at_all() -> None:
    assert success_rate([[True], [False] * 9, []]).value == 0.5
    assert math.isnan(success_rate([[], []]).value)
    assert math.isnan(mean_score([]).low)


@pytest.mark.parametrize(
    ("tasks", "attempts", "mean", "spread"),
    [(50, 1, 0.5, 0.0), (50, 4, 0.9, 0.5), (20, 8, 0.5, 3.0), (200, 2, 0.05, 1.0)],
)
def test_intervals_hold_the_truth_95_times_in_100(
    tasks: int, attempts: int, mean: float, spread: float
) -> None:
    """Tasks of beta-distributed difficulty: the interval covers the mean difficulty."""
    rng = np.random.default_rng(1)
    covered = 0
    repeats = 400
    for _ in range(repeats):
        skill = np.full(tasks, mean)
        if spread:
            skill = rng.beta(mean / spread, (1 - mean) / spread, tasks)
        solved = rng.random((tasks, attempts)) < skill[:, None]
        estimate = success_rate(solved.tolist())
        covered += estimate.low <= mean <= estimate.high
    assert 0.92 <= covered / repeats <= 0.995


@pytest.mark.parametrize("freedom", [*range(1, 40), 100, 1000])
def test_student_quantiles(freedom: int) -> None:
    assert t95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-3)


def test_scores_have_t_intervals_over_task_means() -> None:
    rng = np.random.default_rng(2)
    tasks = rng.normal(3.0, 1.0, (30, 4))
    estimate = mean_score(tasks.tolist())
    means = tasks.mean(axis=1)
    low, high = stats.t.interval(0.95, 29, means.mean(), stats.sem(means))
    assert estimate.value == pytest.approx(means.mean())
    assert (estimate.low, estimate.high) == pytest.approx((low, high), rel=1e-4)


def test_scores_of_all_or_nothing_are_success_rates() -> None:
    solved = [[True, False], [False, False], [True, True]]
    rate = success_rate(solved)
    score = mean_score([[10.0 * s for s in attempts] for attempts in solved])
    assert score == Estimate(*(pytest.approx(10 * v) for v in (rate.value, rate.low, rate.high)))
    negative = mean_score([[-2.0], [0.0]])
    assert negative.low < negative.value == -1.0 < negative.high
    nothing = mean_score([[0.0]] * 50)
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert 0.01 < nothing.high < 0.1


def test_scores_without_spread_have_no_interval() -> None:
    estimate = mean_score([[0.25, 0.75], [0.75, 0.25]])
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert estimate.as_dict() == {"value": 0.5, "low": None, "high": None}


@pytest.mark.parametrize("attempts", [1, 2, 5, 8])
def test_pass_at_k_counts_every_choice_of_k_attempts(attempts: int) -> None:
    for successes in range(attempts + 1):
        solved = [i < successes for i in range(attempts)]
        for k in range(1, attempts + 1):
            choices = list(combinations(solved, k))
            expected = sum(any(choice) for choice in choices) / len(choices)
            assert pass_at_k(attempts, successes, k) == pytest.approx(expected)


def test_pass_at_k_is_exact_for_many_attempts() -> None:
    expected = 1 - math.comb(990, 100) / math.comb(1000, 100)
    assert pass_at_k(1000, 10, 100) == pytest.approx(expected, rel=1e-12)


def test_pass_at_k_is_unbiased() -> None:
    rng = np.random.default_rng(3)
    solved = rng.random((4000, 6)) < 0.2
    assert pass_at(solved.tolist(), 3).value == pytest.approx(1 - 0.8**3, abs=0.02)


def test_pass_at_leaves_out_tasks_with_too_few_attempts() -> None:
    tasks = [[True, False], [False], [False, False]]
    assert pass_at(tasks, 1).value == success_rate(tasks).value
    assert pass_at(tasks, 2).value == 0.5
    assert math.isnan(pass_at(tasks, 3).value)


def test_wilson_stays_in_the_unit_interval() -> None:
    for p in (0.0, 1e-9, 0.5, 1 - 1e-9, 1.0):
        low, high = wilson(p, 1)
        assert 0 <= low <= high <= 1
