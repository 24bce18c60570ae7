from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.credit import assign, parse
from agentrl.credit.gigpo import Gigpo
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Outcome, Trajectory, Turn

Visits = Sequence[tuple[str | None, float]]
"""(situation, reward) of each turn."""

STATES = [["s0", "s1", "s2"], ["s0", "s1", "s3"], ["s0", "s4"]]
REWARDS = [[0.0, 0.0, 10.0], [0.0, 0.0, 0.0], [0.0, 0.0]]
EXAMPLE = [list(zip(*pair, strict=True)) for pair in zip(STATES, REWARDS, strict=True)]


def episode(index: int, visits: Visits, group: str = "g", prompt: int = 1) -> Trajectory:
    turns = [
        Turn(
            f"you are at {state}",
            "act",
            reward=reward,
            state_key=state,
            prompt_ids=np.zeros(prompt, np.int32),
            response_ids=np.ones(2, np.int32),
        )
        for state, reward in visits
    ]
    solved = sum(reward for _, reward in visits) > 0
    outcome = Outcome.SUCCESS if solved else Outcome.FAILURE
    return Trajectory(f"{group}#{index}", group, "task", turns, outcome)


def gather(shape: Sequence[Visits]) -> Batch:
    return Batch.from_trajectories(episode(i, visits) for i, visits in enumerate(shape))


@pytest.mark.parametrize(
    ("methods", "step", "total"),
    [
        (
            ["dr_grpo", Gigpo(normaliser="mean_norm")],
            [6.016667, 4.75, 0, -3.008333, -4.75, 0, -3.008333, 0],
            [12.683333, 11.416667, 6.666667, -6.341667, -8.083333, -3.333333, -6.341667, -3.333333],
        ),
        (
            ["grpo", "gigpo"],
            [1.154700, 0.707107, 0, -0.577350, -0.707107, 0, -0.577350, 0],
            [2.309401, 1.861807, 1.154700, -1.154700, -1.284457, -0.577350, -1.154700, -0.577350],
        ),
    ],
)
def test_worked_example(methods: list[Any], step: list[float], total: list[float]) -> None:
    batch = gather(EXAMPLE)
    assert assign(batch, methods) == pytest.approx(total, abs=1e-5)
    alone = parse(methods)[1](batch, np.zeros(8), {})
    assert alone == pytest.approx(step, abs=1e-5)


def test_omega_weighs_the_step_part() -> None:
    batch = gather(EXAMPLE)
    host = assign(batch, "grpo")
    once, half = (assign(batch, ["grpo", Gigpo(omega=w)]) - host for w in (1.0, 0.5))
    assert half == pytest.approx(once / 2)
    assert assign(batch, ["grpo", Gigpo(omega=0.0)]).tolist() == host.tolist()


def test_a_situation_seen_once_gives_nothing() -> None:
    batch = gather([[("a", 5.0)], [("b", 0.0)]])
    assert assign(batch, ["grpo", "gigpo"]).tolist() == assign(batch, "grpo").tolist()


def test_equal_keys_of_other_groups_and_agents_are_other_situations() -> None:
    left, right = episode(0, [("s", 1.0)]), episode(0, [("s", 0.0)], group="h")
    assert Gigpo()(Batch.from_trajectories([left, right]), np.zeros(2), {}).tolist() == [0, 0]
    other = episode(1, [("s", 0.0)])
    other.turns[0].agent = "critic"
    assert Gigpo()(Batch.from_trajectories([left, other]), np.zeros(2), {}).tolist() == [0, 0]


def test_a_loops_early_visits_are_penalised() -> None:
    values = Gigpo(normaliser="mean_norm")(gather([[("s", 0.0), ("s", 1.0)]]), np.zeros(2), {})
    assert values == pytest.approx([-0.025, 0.025])


def test_a_penalty_in_the_rewards_lowers_episode_and_steps() -> None:
    clean, fined = [("s", 0.0), ("t", 1.0)], [("s", -0.1), ("t", 1.0)]
    values = assign(gather([clean, fined]), ["dr_grpo", Gigpo(normaliser="mean_norm")])
    assert values == pytest.approx([0.05 + 0.05, 0.05, -0.05 - 0.05, -0.05])


def test_an_outcome_beyond_the_rewards_is_paid_at_the_end() -> None:
    paid = gather([[("s", 0.0), ("t", 1.0)], [("s", 0.0), ("t", 0.0)]])
    judged = [episode(i, [("s", 0.0), ("t", 0.0)]) for i in range(2)]
    for trajectory, outcome in zip(judged, (1.0, 0.0), strict=True):
        trajectory.outcome_reward = outcome
    values = assign(Batch.from_trajectories(judged), ["grpo", "gigpo"])
    assert values.tolist() == assign(paid, ["grpo", "gigpo"]).tolist()


def test_a_missing_state_key_names_the_trajectory() -> None:
    batch = gather([[("s", 0.0)], [("s", 0.0), (None, 1.0)]])
    with pytest.raises(DataError, match=r"'gigpo' needs a state_key.*'g#1' has none at turn 1"):
        assign(batch, ["grpo", "gigpo"])


def test_observations_can_be_the_anchor() -> None:
    shape = [[(state, reward) for state, reward in visits] for visits in EXAMPLE]
    batch = gather(shape)
    without = replace(batch, state_keys=[None] * batch.num_turns)
    values = assign(without, ["grpo", Gigpo(anchor="observation")])
    assert values.tolist() == assign(batch, ["grpo", "gigpo"]).tolist()


def test_similar_anchors_are_one_situation() -> None:
    near = gather([[("Doc 1: Paris is in France.", 1.0)], [("Doc 1: Paris is in France!", 0.0)]])
    step = Gigpo(similarity=0.9, normaliser="mean_norm")(near, np.zeros(2), {})
    assert step.tolist() == [0.5, -0.5]
    assert Gigpo()(near, np.zeros(2), {}).tolist() == [0, 0]
    far = gather([[("Doc 1: Paris is in France.", 1.0)], [("No results.", 0.0)]])
    assert Gigpo(similarity=0.9)(far, np.zeros(2), {}).tolist() == [0, 0]


def test_equal_groups_are_exactly_zero() -> None:
    batch = gather([[("s", 0.1), ("t", 0.3)]] * 7)
    assert (assign(batch, ["grpo", "gigpo"]) == 0).all()


def test_degenerate_batches() -> None:
    assert assign(Batch.from_trajectories([]), ["grpo", "gigpo"]).shape == (0,)
    batch = gather([[], [("s", 1.0)], []])
    assert np.isfinite(assign(batch, ["grpo", "gigpo"])).all()
    assert assign(gather([[("s", 3.0)]]), ["grpo", "gigpo"]) == pytest.approx([3.0], rel=1e-5)


def test_explain_gives_visits_mean_and_return() -> None:
    batch = gather(EXAMPLE)
    why = Gigpo(normaliser="mean_norm").explain(batch, assign(batch, "dr_grpo"), {})
    assert json.loads(json.dumps(why)) == why
    assert why[0]["visits"] == 3
    assert why[0]["state_key"] == "s0"
    assert why[0]["return_from_here"] == pytest.approx(9.025)
    assert why[0]["mean"] == pytest.approx(9.025 / 3)
    assert why[0]["step_advantage"] == pytest.approx(6.016667, abs=1e-6)
    assert why[0]["advantage"] == pytest.approx(12.683333, abs=1e-6)
    assert (why[2]["visits"], why[2]["step_advantage"]) == (1, 0.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gamma": 1.5}, "gamma must be between 0 and 1"),
        ({"omega": -1.0}, "omega must be at least 0"),
        ({"eps": 0.0}, "eps must be above 0"),
        ({"similarity": 2.0}, "similarity must be between 0 and 1"),
        ({"normaliser": "std"}, "Invalid enum value"),
        ({"anchor": "prompt"}, "Invalid enum value"),
    ],
)
def test_mistakes_are_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(["grpo", {"gigpo": parameters}])
    assert "\n" not in str(caught.value)


def test_mistakes_in_code_are_named() -> None:
    with pytest.raises(ConfigError, match="no normaliser"):
        Gigpo(normaliser="std")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no anchor"):
        Gigpo(anchor="prompt")  # type: ignore[arg-type]


visits = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-4, 4).map(float)), max_size=5)
shapes = st.lists(visits, min_size=1, max_size=5)


@given(shape=shapes, divide=st.booleans())
def test_equals_the_definition(shape: list[Visits], divide: bool) -> None:
    batch = Batch.from_trajectories(
        episode(i, visits, group="gh"[i % 2]) for i, visits in enumerate(shape)
    )
    groups: dict[Any, list[tuple[int, float]]] = {}
    of_turn = batch.trajectory_of_turn()
    for turn in range(batch.num_turns):
        stop = batch.turn_offsets[of_turn[turn] + 1]
        to_go = sum(0.95**k * r for k, r in enumerate(batch.rewards[turn:stop]))
        group = batch.group_of_trajectory()[of_turn[turn]]
        groups.setdefault((group, batch.state_keys[turn]), []).append((turn, to_go))
    expected = np.zeros(batch.num_turns)
    for members in groups.values():
        returns = np.array([value for _, value in members])
        scale = returns.std(ddof=1) + 1e-6 if divide and len(members) > 1 else 1.0
        for turn, value in members:
            expected[turn] = (value - returns.mean()) / scale
    method = Gigpo(normaliser="mean_std_norm" if divide else "mean_norm")
    np.testing.assert_allclose(method(batch, np.zeros(batch.num_turns), {}), expected, atol=1e-6)


@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_order_names_and_observation_tokens_do_not_matter(shape: list[Visits], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(shape))
    again = [replace(episode(i, shape[i], prompt=7), id=f"other {i}", group="other") for i in order]
    left, right = gather(shape), Batch.from_trajectories(again)
    values = np.split(assign(left, ["grpo", "gigpo"]), left.turn_offsets[1:-1])
    shuffled = np.split(assign(right, ["grpo", "gigpo"]), right.turn_offsets[1:-1])
    for position, i in enumerate(order):
        np.testing.assert_allclose(shuffled[position], values[i], atol=1e-9)


@given(shape=shapes, scale=st.integers(-8, 8))
def test_mean_norm_is_linear_in_the_rewards(shape: list[Visits], scale: int) -> None:
    methods = ["dr_grpo", Gigpo(normaliser="mean_norm")]
    scaled = [[(state, scale * reward) for state, reward in visits] for visits in shape]
    np.testing.assert_allclose(
        assign(gather(scaled), methods), scale * assign(gather(shape), methods), atol=1e-9
    )
