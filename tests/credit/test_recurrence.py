from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.credit.recurrence import backward_recurrence
from agentrl.credit.returns import discounted_returns


def plain_loop(values: np.ndarray, decay: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    result = values.copy()
    for first, last in pairwise(offsets):
        for n in range(last - 2, first - 1, -1):
            result[n] += decay[n] * result[n + 1]
    return result


@given(lengths=st.lists(st.integers(0, 80), max_size=20), seed=st.integers(0, 2**32 - 1))
def test_equals_a_plain_loop(lengths: list[int], seed: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rng = np.random.default_rng(seed)
    values, decay = rng.normal(size=offsets[-1]), rng.uniform(0, 1, offsets[-1])
    decay[rng.random(len(decay)) < 0.3] = rng.choice([0.0, 1.0])
    got = backward_recurrence(values, decay, offsets)
    np.testing.assert_allclose(got, plain_loop(values, decay, offsets), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("length", [16_383, 16_384, 16_385, 40_000])
def test_sequences_longer_than_a_piece(length: int) -> None:
    offsets = np.array([0, 7, 7 + length, 7 + length + 300])
    values = np.random.default_rng(0).normal(size=offsets[-1])
    got = backward_recurrence(values, np.full(offsets[-1], 0.999), offsets)
    np.testing.assert_allclose(got, discounted_returns(values, offsets, 0.999), atol=1e-9)


def test_arguments_are_left_alone() -> None:
    values, decay = np.ones(3), np.ones(3)
    assert backward_recurrence(values, decay, np.array([0, 3])).tolist() == [3, 2, 1]
    assert (values.tolist(), decay.tolist()) == ([1] * 3, [1] * 3)
