from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import assign


def test_worked_example(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([[1, 0], [1, 1, 0]], [[2, 4], [3, 1, 2]])
    values = assign(batch, "reinforce_pp_baseline")
    expected = [1.166667, -0.833333, 0.833333, 0.833333, -1.166667]
    assert values == pytest.approx(expected, abs=1e-6)


def test_without_tokens_every_turn_counts_once(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([[1, 0, 0]], [[0, 0, 0]])
    values = assign(batch, "reinforce_pp_baseline")
    assert values == pytest.approx(np.array([2, -1, -1]) / np.sqrt(3), abs=1e-6)


def test_all_equal_is_exactly_zero(make_batch: Callable[..., Batch]) -> None:
    assert (assign(make_batch([[0.1] * 7]), "reinforce_pp_baseline") == 0).all()
