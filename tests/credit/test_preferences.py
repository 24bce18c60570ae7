from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.credit.preferences import (
    preference_accuracy,
    preference_loss,
    preference_pairs,
    trajectory_scores,
)
from agentrl.errors import ConfigError
from agentrl.trajectory import Trajectory

MakeBatch = Callable[..., Batch]

STEP_REWARDS = 0.05 * np.array([4.0, 2, 6, -2, -4, 1, -3, -1])


@pytest.fixture
def batch(make_trajectory: Callable[..., Trajectory]) -> Batch:
    rewards = [[0, 0, 1], [0, 0], [0, 0, 0]]
    return Batch.from_trajectories(
        make_trajectory("g", i, r, [1] * len(r)) for i, r in enumerate(rewards)
    )


@pytest.mark.parametrize(("reduce", "loss"), [("sum", 0.364012), ("mean", 0.554661)])
def test_worked_example(batch: Batch, reduce: str, loss: float) -> None:
    scores = trajectory_scores(STEP_REWARDS, batch, reduce=reduce)
    if reduce == "sum":
        assert scores == pytest.approx([0.6, -0.3, -0.15])
    pairs = preference_pairs(batch)
    assert pairs.tolist() == [[0, 1], [0, 2]]
    assert preference_loss(scores, pairs).loss == pytest.approx(loss, abs=1e-6)
    assert preference_accuracy(scores, pairs) == 1.0


def test_every_success_beats_every_failure_of_its_group(make_batch: MakeBatch) -> None:
    batch = make_batch([[1, 0, 0.5], [0, 0], [1, 1], [0, 1]])
    assert preference_pairs(batch).tolist() == [[0, 1], [2, 1], [8, 7]]


def test_graded_outcomes_need_a_margin(make_batch: MakeBatch) -> None:
    batch = make_batch([[7, 6, 6.6]])
    assert preference_pairs(batch).shape == (0, 2)
    assert preference_pairs(batch, margin=0.5).tolist() == [[0, 1], [2, 1]]
    assert preference_pairs(batch, margin=1.0).tolist() == [[0, 1]]
    assert preference_pairs(batch, np.array([0.0, 3.0, 0.0]), margin=2).tolist() == [[1, 0], [1, 2]]
    assert preference_pairs(batch, threshold=6.5).tolist() == [[0, 1], [2, 1]]


def test_no_pairs_no_loss(make_batch: MakeBatch) -> None:
    batch = make_batch([[0, 0], [1]])
    pairs = preference_pairs(batch)
    loss, coefficients = preference_loss(np.array([1.0, 2.0, 3.0]), pairs)
    assert (loss, coefficients.tolist()) == (0.0, [0, 0, 0])
    assert math.isnan(preference_accuracy(np.zeros(3), pairs))
    assert preference_pairs(Batch.from_trajectories([])).shape == (0, 2)


@given(
    scores=st.lists(st.floats(-20, 20), min_size=5, max_size=5),
    weights=st.none() | st.lists(st.floats(0.1, 9), min_size=6, max_size=6),
)
def test_coefficients_are_the_slope_of_the_loss(
    make_batch: MakeBatch, scores: list[float], weights: list[float] | None
) -> None:
    pairs = preference_pairs(make_batch([[1, 1, 0, 0, 0]]))
    values = np.array(scores)
    share = None if weights is None else np.array(weights)
    loss, coefficients = preference_loss(values, pairs, share)
    assert loss >= 0
    for i in range(5):
        step = np.zeros(5)
        step[i] = 1e-5
        above = preference_loss(values + step, pairs, share).loss
        below = preference_loss(values - step, pairs, share).loss
        assert coefficients[i] == pytest.approx((above - below) / 2e-5, abs=1e-6)


def test_extreme_scores_stay_finite(make_batch: MakeBatch) -> None:
    pairs = preference_pairs(make_batch([[1, 0]]))
    loss, coefficients = preference_loss(np.array([-1e4, 1e4]), pairs)
    assert loss == pytest.approx(2e4)
    assert coefficients.tolist() == [-1, 1]


def test_accuracy_counts_ties_half(make_batch: MakeBatch) -> None:
    pairs = preference_pairs(make_batch([[1, 0, 0, 0]]))
    assert preference_accuracy(np.array([1.0, 0.0, 1.0, 2.0]), pairs) == 0.5


def test_misuse(make_batch: MakeBatch) -> None:
    batch = make_batch([[1, 0]])
    with pytest.raises(ConfigError, match="above 0"):
        preference_pairs(batch, margin=0.0)
    with pytest.raises(ConfigError, match="do not fit 2 trajectories"):
        preference_pairs(batch, np.zeros(3))
