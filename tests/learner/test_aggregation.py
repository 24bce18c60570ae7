"""Weights and sequences against numbers worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.learner.aggregation import (
    aggregation_weights,
    over_sequences,
    run_lengths,
    sequence_of_token,
    turn_average_weights,
    whole_sequences,
)


@pytest.mark.parametrize(
    ("mode", "weights"),
    [
        ("token-mean", [1 / 4, 1 / 4, 1 / 4, 1 / 4]),
        ("seq-mean-token-mean", [1 / 6, 1 / 6, 1 / 6, 1 / 2]),
        ("seq-mean-token-sum", [1 / 2, 1 / 2, 1 / 2, 1 / 2]),
        ("seq-mean-token-sum-norm", [1 / 20, 1 / 20, 1 / 20, 1 / 20]),
    ],
)
def test_aggregation_modes(mode: str, weights: list[float], two_trajectories: Batch) -> None:
    batch = two_trajectories
    found = aggregation_weights(batch, batch.sampled, mode, norm_length=10)
    np.testing.assert_allclose(found[batch.sampled], weights, rtol=1e-6)
    assert not found[~batch.sampled].any()


def test_a_trajectory_without_counted_tokens_is_not_a_sequence(two_trajectories: Batch) -> None:
    batch = two_trajectories
    counted = batch.sampled.copy()
    counted[-1] = False
    found = aggregation_weights(batch, counted, "seq-mean-token-mean", norm_length=1)
    np.testing.assert_allclose(found[counted], [1 / 3] * 3, rtol=1e-6)


def test_sequences_can_be_other_than_trajectories(two_trajectories: Batch) -> None:
    batch = two_trajectories
    turns = batch.turn_of_token()
    found = aggregation_weights(
        batch, batch.sampled, "seq-mean-token-mean", norm_length=1, sequences=turns
    )
    np.testing.assert_allclose(found[batch.sampled], [1 / 6, 1 / 6, 1 / 3, 1 / 3], rtol=1e-6)


def test_average_over_tokens_then_turns_then_trajectories(two_trajectories: Batch) -> None:
    batch = two_trajectories
    found = turn_average_weights(batch, batch.sampled)
    np.testing.assert_allclose(found[batch.sampled], [1 / 8, 1 / 8, 1 / 4, 1 / 2], rtol=1e-6)
    assert not found[~batch.sampled].any()
    counted = batch.sampled.copy()
    counted[batch.token_offsets[1] : batch.token_offsets[2]] = False
    found = turn_average_weights(batch, counted)
    np.testing.assert_allclose(found[counted], [1 / 4, 1 / 4, 1 / 2], rtol=1e-6)
    assert not turn_average_weights(batch, np.zeros(batch.num_tokens, np.bool_)).any()


def test_sequences_are_segments_or_turns(make_batch: Callable[..., Batch]) -> None:
    for windowed in (False, True):
        batch = make_batch(5, windowed=windowed, turns=(2, 5))
        turns = sequence_of_token(batch, "turn")
        segments = sequence_of_token(batch, "segment")
        np.testing.assert_array_equal(turns, batch.turn_of_token())
        own = turns if windowed else batch.trajectory_of_turn()[turns]
        np.testing.assert_array_equal(segments, own)


def test_whole_sequences() -> None:
    sequences = np.array([0, 0, 1, 1, 2])
    tokens = np.array([False, True, False, False, True])
    chosen = np.array([True, True, True, True, True])
    assert whole_sequences(tokens, sequences, chosen).tolist() == [True, True, False, False, True]
    chosen[0] = False
    assert whole_sequences(tokens, sequences, chosen).tolist() == [False, True, False, False, True]


def test_reductions_over_sequences() -> None:
    labels = np.array([4, 4, 2, 7, 7, 7])
    lengths = run_lengths(labels)
    assert lengths.tolist() == [2, 1, 3]
    assert run_lengths(labels[:0]).tolist() == []
    values = torch.tensor([1.0, 3.0, 5.0, -1.0, 0.0, 4.0])
    kinds: tuple[Literal["sum", "mean", "min", "max"], ...] = ("sum", "mean", "min", "max")
    found = {k: over_sequences(values, torch.from_numpy(lengths), k).tolist() for k in kinds}
    assert found["sum"] == [4, 4, 5, 3, 3, 3]
    assert found["mean"] == [2, 2, 5, 1, 1, 1]
    assert found["min"] == [1, 1, 5, -1, -1, -1]
    assert found["max"] == [3, 3, 5, 4, 4, 4]


def test_nothing_counted_gives_no_weight(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(2)
    for mode in ("token-mean", "seq-mean-token-mean"):
        found = aggregation_weights(
            batch,
            np.zeros(batch.num_tokens, np.bool_),
            mode,
            norm_length=1,
        )
        assert not found.any()
        assert np.isfinite(found).all()
