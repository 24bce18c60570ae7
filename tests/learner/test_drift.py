"""The drift meter's figures against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.learner.drift import effective_sample_size, measure, statistics
from agentrl.trajectory import Outcome, Trajectory, Turn


def turn(logprobs: list[float], **fields: Any) -> Turn:
    """Return a turn that reads one id and samples as many as there are log-probabilities."""
    return Turn(
        "",
        "",
        prompt_ids=np.zeros(1, np.int32),
        response_ids=np.ones(len(logprobs), np.int32),
        logprobs=np.array(logprobs, np.float32),
        **{"starts_segment": False, **fields},
    )


def batch_of(*episodes: list[Turn], outcome: Outcome = Outcome.SUCCESS) -> Batch:
    return Batch.from_trajectories(
        [Trajectory(f"e{i}", "g", "t", turns, outcome) for i, turns in enumerate(episodes)]
    )


def read(batch: Batch, logprobs: list[float], **settings: Any) -> Any:
    """Return the drift where the learner gives sampled tokens these log-probabilities."""
    whole = np.zeros(batch.num_tokens)
    whole[batch.sampled] = logprobs
    return measure(batch, whole, batch.sampled.copy(), **settings)


def test_gaps_by_hand() -> None:
    batch = batch_of([turn([-1.0, -2.0]), turn([-0.5])])
    drift = read(batch, [-1.1, -1.8, -0.5])
    assert drift.all.tokens == 3
    assert drift.all.mean == pytest.approx(0.1)
    assert drift.all.signed == pytest.approx(0.1 / 3)
    assert drift.all.p99 == drift.all.max == pytest.approx(0.2)
    assert {label: gaps.mean for label, gaps in drift.turns.items()} == pytest.approx(
        {"0": 0.15, "1": 0.0}, abs=1e-6
    )
    weights = np.exp([-0.1, 0.2, 0.0])
    assert drift.ess == pytest.approx(weights.sum() ** 2 / (3 * (weights**2).sum()))
    assert drift.ess_episodes == 1.0
    assert drift.figures()["drift/gap_mean"] == drift.all.mean
    assert drift.figures()["drift/gap_p99_turn/0"] == pytest.approx(0.2)


def test_p99_is_a_gap_that_ninety_nine_of_a_hundred_stay_within() -> None:
    found = statistics(np.arange(1, 201) / -100)
    assert found is not None
    assert found.p99 == pytest.approx(1.98)
    assert found.max == pytest.approx(2.0)
    assert statistics(np.empty(0)) is None


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.zeros(7)) == pytest.approx(1.0)
    # One weight is worth all others.
    assert effective_sample_size(np.array([1000.0, 0.0, 0.0, 0.0])) == pytest.approx(0.25)
    assert effective_sample_size(np.array([-3000.0, -3000.0])) == pytest.approx(1.0)
    assert effective_sample_size(np.empty(0)) is None


def test_an_episodes_weight_is_the_product_of_its_tokens() -> None:
    batch = batch_of([turn([-1.0, -1.0])], [turn([-1.0])])
    drift = read(batch, [-0.5, -0.5, -1.0])
    weights = np.array([math.e, 1.0])
    expected = weights.sum() ** 2 / (2 * (weights**2).sum())
    assert drift.ess_episodes == pytest.approx(expected)


def test_turns_are_binned_by_powers_of_two() -> None:
    batch = batch_of([turn([-1.0]) for _ in range(9)])
    drift = read(batch, [-1.0 - i for i in range(9)])
    assert {label: gaps.mean for label, gaps in drift.turns.items()} == {
        "0": 0.0,
        "1": 1.0,
        "2-3": 2.5,
        "4-7": 5.5,
        "8-15": 8.0,
    }


def test_tokens_of_older_weights_are_apart() -> None:
    batch = batch_of([turn([-1.0], policy_version=3), turn([-1.0, -1.0], policy_version=4)])
    drift = read(batch, [-1.5, -1.0, -1.0], version=4)
    assert (drift.stale.tokens, drift.stale.mean) == (1, 0.5)
    assert (drift.fresh.tokens, drift.fresh.mean) == (2, 0.0)
    assert drift.figures()["drift/stale_tokens"] == pytest.approx(1 / 3)
    # Without a version the newest tokens are the fresh ones.
    assert read(batch, [-1.5, -1.0, -1.0]).fresh.tokens == 2
    nothing_fresh = read(batch, [-1.5, -1.0, -1.0], version=5)
    assert nothing_fresh.fresh is None
    assert nothing_fresh.stale.tokens == 3


def test_weights_that_changed_within_a_turn() -> None:
    """A turn's later tokens are of the newer weights, whatever its first one was of."""
    mixed = turn([-1.0, -1.0, -1.0], policy_version=3, versions=np.array([3, 4, 4], np.int32))
    drift = read(batch_of([mixed]), [-1.5, -1.0, -1.25], version=4)
    assert (drift.stale.tokens, drift.stale.mean) == (1, 0.5)
    assert (drift.fresh.tokens, drift.fresh.mean) == (2, 0.125)


def test_shares() -> None:
    batch = batch_of(
        [turn([-1.0], starts_segment=True), turn([-1.0], finish_reason="length"), turn([-1.0])],
        [turn([-1.0], starts_segment=True), turn([-1.0], starts_segment=True)],
        outcome=Outcome.TRUNCATED_TURNS,
    )
    drift = read(batch, [-1.0] * 5)
    # One of the three later turns, one of the five turns, both episodes.
    assert drift.prefix_breaks == pytest.approx(1 / 3)
    assert drift.truncated == pytest.approx(1 / 5)
    assert drift.episodes_truncated == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.5])
def test_nonsense_of_the_engine_is_told_and_left_out(value: float) -> None:
    batch = batch_of([turn([-1.0]), turn([-1.0, value])])
    drift = read(batch, [-1.0, -1.0, -1.0])
    assert "turn 1 of trajectory 'e0', and 1 such of 3" in drift.engine_fault
    assert drift.learner_fault is None
    assert drift.all.tokens == 2
    assert all(math.isfinite(figure) for figure in drift.figures().values())


def test_rounding_above_zero_is_no_fault() -> None:
    batch = batch_of([turn([1e-6])])
    assert read(batch, [-1e-6]).engine_fault is None


def test_a_turn_without_any_log_probability_is_a_replay() -> None:
    batch = batch_of([turn([math.nan, math.nan]), turn([-1.0])])
    drift = read(batch, [-1.0, -1.0, -1.0])
    assert drift.engine_fault is None
    assert drift.all.tokens == 1


def test_nonsense_of_the_learner_is_told_and_left_out() -> None:
    batch = batch_of([turn([-1.0, -1.0])])
    drift = read(batch, [math.nan, -1.0])
    assert "turn 0 of trajectory 'e0', and 1 such of 2" in drift.learner_fault
    assert drift.all.tokens == 1


def test_tokens_that_were_not_measured_do_not_count() -> None:
    batch = batch_of([turn([-1.0, -1.0])])
    measured = batch.sampled.copy()
    measured[np.flatnonzero(measured)[0]] = False
    drift = measure(batch, np.full(batch.num_tokens, -3.0), measured)
    assert (drift.all.tokens, drift.all.mean) == (1, 2.0)
    nothing = measure(batch, np.zeros(batch.num_tokens), np.zeros(batch.num_tokens, np.bool_))
    assert nothing.all is nothing.fresh is nothing.stale is nothing.ess is None
    assert set(nothing.figures()) == {
        "drift/prefix_breaks",
        "drift/truncated",
        "drift/episodes_truncated",
    }
