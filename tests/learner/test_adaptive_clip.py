"""BAPO's search, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.config import AdaptiveClipConfig
from agentrl.learner.adaptive_clip import Bounds, search_bounds


def search(ratios: list[float], advantages: list[float], **settings: Any) -> Bounds:
    return search_bounds(
        np.log(ratios),
        np.array(advantages, np.float64),
        np.ones(len(ratios)),
        AdaptiveClipConfig(**settings),
    )


def test_bounds_stay_where_the_share_suffices() -> None:
    """1.2 of 1.2 + 1."""
    found = search([2.0, 1.0], [1.0, -1.0])
    assert found == pytest.approx((0.6, 1.2, 1.2 / 2.2))


def test_the_upper_bound_rises_until_the_share_is_reached() -> None:
    """c / (c + 2.5) >= 0.4 from c = 5/3 on: 1.7 is the first of 1.2, 1.25, ..."""
    found = search([3.0, 1.0], [1.0, -2.5])
    assert found.high == pytest.approx(1.7)
    assert found.low == 0.6
    assert found.share == pytest.approx(1.7 / 4.2)
    assert found.share >= 0.4
    assert search([3.0, 1.0], [1.0, -2.5], high=(1.2, 1.65)).share < 0.4


def test_the_lower_bound_follows_where_the_upper_does_not_suffice() -> None:
    found = search([1.0, 0.5], [1.0, -9.0])
    assert (found.low, found.high) == (0.9, 3.0)
    assert found.share == pytest.approx(1 / (1 + 9 * 0.9))


def test_the_code_raises_the_lower_bound_first() -> None:
    settings = {"first": "low", "low": (0.8, 0.95), "low_step": 0.05, "target": 0.5}
    found = search([3.0, 1.0], [1.0, -1.5], high=(1.2, 2.0), **settings)
    assert found.low == 0.95
    assert found.high == pytest.approx(1.5)
    assert found.share == pytest.approx(0.5)


def test_tokens_are_weighed_by_their_probability() -> None:
    log_ratios, advantages = np.log([3.0, 1.0]), np.array([1.0, -2.5])
    found = search_bounds(log_ratios, advantages, np.array([1.0, 0.25]), AdaptiveClipConfig())
    assert found.share == pytest.approx(1.2 / (1.2 + 2.5 / 4))


def test_the_share_is_that_of_the_clipped_surrogate() -> None:
    """min(rho A, clip(rho, low, high) A), token by token, as PPO defines it."""
    rng = np.random.default_rng(0)
    log_ratios, advantages = rng.normal(size=50), rng.normal(size=50)
    found = search_bounds(log_ratios, advantages, np.ones(50), AdaptiveClipConfig(target=0.01))
    ratios = np.exp(log_ratios)
    surrogate = np.minimum(ratios * advantages, np.clip(ratios, 0.6, 1.2) * advantages)
    expected = np.abs(surrogate[advantages > 0]).sum() / np.abs(surrogate).sum()
    assert found.share == pytest.approx(expected)


def test_nothing_to_weigh_keeps_the_start() -> None:
    assert search([], []) == (0.6, 1.2, 1.0)
    assert search([1.0], [0.0]) == (0.6, 1.2, 1.0)


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-5, 5)), max_size=30),
    st.sampled_from(["high", "low"]),
    st.floats(0.05, 0.95),
)
def test_the_search_ends_at_the_target_or_at_both_ends(
    tokens: list[tuple[float, float]], first: str, target: float
) -> None:
    gaps, advantages = (np.array([t[i] for t in tokens]) for i in (0, 1))
    config = AdaptiveClipConfig(first=first, target=target)
    found = search_bounds(gaps, advantages, np.ones(len(tokens)), config)
    assert 0.6 <= found.low <= 0.9
    assert 1.2 <= found.high <= 3.0
    assert found.share >= target or (found.low, found.high) == (0.9, 3.0)
