from __future__ import annotations

from collections.abc import Callable

import pytest

from agentrl.batch import Batch
from agentrl.credit import group_report


def test_counts_groups_that_teach_nothing(make_batch: Callable[..., Batch]) -> None:
    report = group_report(make_batch([[1, 1], [0, 0, 0], [1, 0], [1]]))
    assert report["groups"] == 4
    assert report["group_size"] == 2
    assert report["zero_variance_groups"] == pytest.approx(2 / 3)  # the group of one is left out
    assert report["all_success_groups"] == pytest.approx(0.5)
    assert report["all_failure_groups"] == pytest.approx(0.25)


def test_graded_rewards_differ_though_none_succeeds(make_batch: Callable[..., Batch]) -> None:
    report = group_report(make_batch([[-0.5, -0.25]]))
    assert report["zero_variance_groups"] == 0
    assert report["all_failure_groups"] == 1


def test_an_empty_batch() -> None:
    assert set(group_report(Batch.from_trajectories([])).values()) == {0.0}
