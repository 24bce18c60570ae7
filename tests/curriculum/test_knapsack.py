from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.curriculum.knapsack import allocate, rollout_value

rates = st.floats(0, 1) | st.sampled_from([0.0, 0.05, 0.5, 0.9, 1.0])


def total_value(success_rates: list[float], budgets: np.ndarray) -> float:
    return float(rollout_value(success_rates, budgets).sum())


def best_by_table(success_rates: list[float], total: int, low: int, high: int) -> float:
    """The largest sum of values, by the paper's multiple-choice knapsack."""
    best = np.full(total + 1, -np.inf)
    best[0] = 0.0
    for rate in success_rates:
        after = np.full(total + 1, -np.inf)
        for count in range(low, min(high, total) + 1):
            reached = best[: total + 1 - count] + rollout_value(rate, count)
            after[count:] = np.maximum(after[count:], reached)
        best = after
    return float(best[total])


def test_worked_examples() -> None:
    values = rollout_value([0.05, 0.05, 0.5, 0.5], [8, 32, 8, 32])
    assert values == pytest.approx([0.015188, 0.036384, 0.124023, 0.125], abs=1e-6)


def test_one_rollout_is_worth_nothing() -> None:
    assert not rollout_value([0.0, 0.3, 1.0], np.array([[0], [1]])).any()
    assert not rollout_value([0.0, 1.0], 50).any()


@given(success_rates=st.lists(rates, min_size=1, max_size=4), data=st.data())
def test_no_other_budgets_are_worth_more(success_rates: list[float], data: st.DataObject) -> None:
    low = data.draw(st.integers(1, 3))
    high = data.draw(st.integers(low, low + 4))
    size = len(success_rates)
    total = data.draw(st.integers(low * size, high * size))
    budgets = allocate(success_rates, total, low, high, negligible=0.0)
    others = [b for b in product(range(low, high + 1), repeat=size) if sum(b) == total]
    assert tuple(budgets.tolist()) in others
    best = max(total_value(success_rates, np.array(b)) for b in others)
    assert total_value(success_rates, budgets) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_as_good_as_the_knapsack_of_the_paper(seed: int) -> None:
    drawn = np.random.default_rng(seed).beta(0.5, 0.5, 24).round(2).tolist()
    budgets = allocate(drawn, 24 * 8)
    best = best_by_table(drawn, 24 * 8, 2, 128)
    assert total_value(drawn, budgets) == pytest.approx(best, abs=1e-6)


def test_hard_tasks_get_most() -> None:
    budgets = allocate([0.0, 0.05, 0.5, 1.0], 32)
    assert budgets.tolist() == [2, 20, 8, 2]


def test_what_is_left_over_goes_to_unsolved_tasks_first() -> None:
    success_rates = [0.0, 0.5, 1.0, 0.0, 1.0]
    assert allocate(success_rates, 100, high=30).tolist() == [30, 27, 7, 30, 6]
    assert allocate([0.0, 1.0, 0.0], 9, high=4).tolist() == [4, 2, 3]
    assert allocate([1e-6, 1.0, 0.0], 9, high=4).tolist() == [4, 2, 3]
    assert allocate([0.5] * 3, 300).tolist() == [100, 100, 100]


def test_everything_and_the_least() -> None:
    assert allocate([0.2, 0.0, 1.0], 15, high=5).tolist() == [5, 5, 5]
    assert allocate([0.2, 0.0, 1.0], 6).tolist() == [2, 2, 2]
    assert allocate([0.2, 0.7], 8, low=4, high=4).tolist() == [4, 4]
    assert allocate([], 0).tolist() == []


def test_a_whole_batch() -> None:
    drawn = np.random.default_rng(0).random(512)
    budgets = allocate(drawn, 4096)
    assert budgets.sum() == 4096
    assert budgets.min() >= 2
    assert budgets.max() <= 128


@pytest.mark.parametrize(
    ("success_rates", "total", "bounds", "why"),
    [
        ([0.5, 1.5], 8, {}, "from 0 to 1"),
        ([0.5, float("nan")], 8, {}, "from 0 to 1"),
        ([[0.5]], 8, {}, "must be a list"),
        ([0.5, 0.5], 3, {}, "2 tasks with 2 to 128 .* take 4 to 256 together, not 3"),
        ([0.5, 0.5], 257, {}, "not 257"),
        ([0.5], 0, {"low": 0}, "low must be at least 1"),
        ([0.5], 4, {"low": 5, "high": 4}, "at most high, not 5 with high 4"),
        ([0.5], 4, {"negligible": -1.0}, "negligible must not be below 0"),
    ],
)
def test_what_cannot_be_given(
    success_rates: list[Any], total: int, bounds: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        allocate(success_rates, total, **bounds)
