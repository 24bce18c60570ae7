"""What holds for every estimator, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.credit import assign
from agentrl.trajectory import Trajectory

BNPO = {"bnpo": {"lowest": -8.0, "highest": 8.0}}
"""Four turns of 2 at most."""
METHODS: list[Any] = ["grpo", "dr_grpo", "rloo", BNPO, "reinforce_pp", "reinforce_pp_baseline"]

rewards = st.integers(-8, 8).map(lambda n: n / 4)
turns = st.lists(st.tuples(rewards, st.integers(0, 3)), min_size=1, max_size=4)
groups = st.lists(st.lists(turns, min_size=1, max_size=4), min_size=1, max_size=4)
every_method = pytest.mark.parametrize("name", METHODS, ids=str)

Shape = list[list[list[tuple[float, int]]]]
Make = Callable[..., Trajectory]


def build(make: Make, shape: Shape, **options: int) -> list[Trajectory]:
    return [
        make(f"g{g}", i, [r for r, _ in steps], [n for _, n in steps], **options)
        for g, group in enumerate(shape)
        for i, steps in enumerate(group)
    ]


def action_values(trajectories: list[Trajectory], name: Any) -> dict[str, np.ndarray]:
    """The advantages of the sampled tokens, by trajectory id."""
    batch = Batch.from_trajectories(trajectories)
    values = assign(batch, name, level="token")
    of_token = batch.trajectory_of_turn()[batch.turn_of_token()]
    return {id_: values[(of_token == i) & batch.sampled] for i, id_ in enumerate(batch.ids)}


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_allclose(left[key], right[key], rtol=1e-9, atol=1e-9)


@every_method
@given(shape=groups, seed=st.integers(0, 2**32 - 1))
def test_order_does_not_matter(make_trajectory: Make, name: Any, shape: Shape, seed: int) -> None:
    trajectories = build(make_trajectory, shape)
    order = np.random.default_rng(seed).permutation(len(trajectories))
    shuffled = [trajectories[i] for i in order]
    assert_same(action_values(trajectories, name), action_values(shuffled, name))


@every_method
@given(shape=groups)
def test_names_do_not_matter(make_trajectory: Make, name: Any, shape: Shape) -> None:
    trajectories = build(make_trajectory, shape)
    renamed = [
        replace(t, id=f"{i}", group=f"other {t.group}", task_id="?")
        for i, t in enumerate(trajectories)
    ]
    left = action_values(trajectories, name)
    right = action_values(renamed, name)
    assert_same(left, dict(zip(left, right.values(), strict=True)))


@every_method
@given(shape=groups, prompt=st.integers(0, 9))
def test_observation_tokens_do_not_matter(
    make_trajectory: Make, name: Any, shape: Shape, prompt: int
) -> None:
    left = action_values(build(make_trajectory, shape), name)
    assert_same(left, action_values(build(make_trajectory, shape, prompt=prompt), name))


@pytest.mark.parametrize("name", ["dr_grpo", "rloo"])
@given(shape=groups, scale=st.floats(-100, 100))
def test_centred_estimators_are_linear_in_the_rewards(
    make_trajectory: Make, name: str, shape: Shape, scale: float
) -> None:
    scaled = [[[(scale * r, n) for r, n in steps] for steps in group] for group in shape]
    left = action_values(build(make_trajectory, shape), name)
    right = action_values(build(make_trajectory, scaled), name)
    for key in left:
        np.testing.assert_allclose(right[key], scale * left[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo", BNPO], ids=str)
@given(shape=groups)
def test_a_group_sums_to_zero_over_trajectories(
    make_trajectory: Make, name: Any, shape: Shape
) -> None:
    batch = Batch.from_trajectories(build(make_trajectory, shape))
    per_trajectory = assign(batch, name)[batch.turn_offsets[:-1]]
    sums = np.add.reduceat(per_trajectory, batch.trajectory_offsets[:-1])
    several = np.diff(batch.trajectory_offsets) > 1
    np.testing.assert_allclose(sums[several], 0, atol=1e-6)
