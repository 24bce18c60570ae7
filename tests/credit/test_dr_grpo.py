from __future__ import annotations

from collections.abc import Callable

import pytest

from agentrl.batch import Batch
from agentrl.credit import assign


def test_worked_example(make_batch: Callable[..., Batch]) -> None:
    values = assign(make_batch([[1, 0, 0, 1, 0, 0, 0, 0]]), "dr_grpo")
    assert values.tolist() == [0.75, -0.25, -0.25, 0.75, -0.25, -0.25, -0.25, -0.25]


def test_scale_is_kept(make_batch: Callable[..., Batch]) -> None:
    assert assign(make_batch([[10, 0]]), "dr_grpo").tolist() == [5.0, -5.0]


def test_equal_groups_and_groups_of_one(make_batch: Callable[..., Batch]) -> None:
    values = assign(make_batch([[0.1] * 7, [2.5]]), "dr_grpo")
    assert (values[:7] == 0).all()
    assert values[7] == pytest.approx(2.5)
