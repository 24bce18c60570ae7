from __future__ import annotations

from collections.abc import Callable

import pytest

from agentrl.batch import Batch
from agentrl.credit import Grpo, assign
from agentrl.errors import ConfigError

RETURNS = [[1, 0, 0, 1, 0, 0, 0, 0]]


def by_outcome(success: float, failure: float) -> list[float]:
    return [success if reward else failure for reward in RETURNS[0]]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Grpo(), by_outcome(1.620182, -0.540061)),
        (Grpo(ddof=0), by_outcome(1.732047, -0.577349)),
    ],
)
def test_worked_example(
    make_batch: Callable[..., Batch], method: Grpo, expected: list[float]
) -> None:
    assert assign(make_batch(RETURNS), method) == pytest.approx(expected, abs=1e-6)


def test_salt_host_example(make_batch: Callable[..., Batch]) -> None:
    values = assign(make_batch([[1, 0, 0, 1]]), "grpo")
    assert values == pytest.approx([0.866024, -0.866024, -0.866024, 0.866024], abs=1e-6)


def test_all_equal_is_exactly_zero(make_batch: Callable[..., Batch]) -> None:
    values = assign(make_batch([[0.1] * 7, [0.7] * 3]), "grpo")
    assert (values == 0).all()


def test_group_of_one_keeps_its_return(make_batch: Callable[..., Batch]) -> None:
    assert assign(make_batch([[3.0]]), "grpo") == pytest.approx([3.0], rel=1e-5)


def test_statistics_are_per_trajectory_not_per_turn(
    make_trajectory: Callable[..., object],
) -> None:
    long = make_trajectory("g", 0, [0, 0, 0, 0, 1], [1] * 5)
    short = make_trajectory("g", 1, [0], [1])
    values = assign(Batch.from_trajectories([long, short]), "grpo")  # type: ignore[list-item]
    assert values == pytest.approx([0.707106] * 5 + [-0.707106], abs=1e-6)


def test_eps_bounds_tiny_spreads(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([[1.0, 1.0 + 1e-9]])
    assert abs(assign(batch, Grpo(eps=1e-3))).max() < 1e-5


@pytest.mark.parametrize("parameters", [{"ddof": 2}, {"eps": 0.0}, {"eps": float("nan")}])
def test_senseless_parameters(parameters: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="grpo"):
        Grpo(**parameters)  # type: ignore[arg-type]
