from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import assign


def test_worked_example(make_batch: Callable[..., Batch]) -> None:
    values = assign(make_batch([[1, 0, 0, 1, 0, 0, 0, 0]]), "rloo")
    expected = [0.857143 if reward else -0.285714 for reward in [1, 0, 0, 1, 0, 0, 0, 0]]
    assert values == pytest.approx(expected, abs=1e-6)


def test_equals_leaving_one_out(make_batch: Callable[..., Batch]) -> None:
    returns = [0.3, -1.0, 2.0, 0.5]
    expected = [r - np.mean(returns[:i] + returns[i + 1 :]) for i, r in enumerate(returns)]
    assert assign(make_batch([returns]), "rloo") == pytest.approx(expected)


def test_equal_groups_and_groups_of_one(make_batch: Callable[..., Batch]) -> None:
    values = assign(make_batch([[0.1] * 7, [2.5]]), "rloo")
    assert (values[:7] == 0).all()
    assert values[7] == pytest.approx(2.5)
