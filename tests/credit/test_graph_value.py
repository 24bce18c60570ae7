from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch, Floats
from agentrl.credit import assign, group_graph, parse
from agentrl.credit.graph_value import GraphValue
from agentrl.credit.group_graph import GroupGraph, solve
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Outcome, Trajectory, Turn

Walk = Sequence[str]
"""Situations in which the agent acted, then the one the episode ended in."""


def episode(
    index: int,
    walk: Walk,
    reward: float = 0.0,
    group: str = "g",
    outcome: Outcome | None = None,
    prompt: int = 1,
) -> Trajectory:
    turns = [
        Turn(
            "",
            f"to {after}",
            reward=reward if t == len(walk) - 2 else 0.0,
            state_key=here,
            prompt_ids=np.zeros(prompt, np.int32),
            response_ids=np.ones(2, np.int32),
        )
        for t, (here, after) in enumerate(pairwise(walk))
    ]
    ended = outcome or (Outcome.SUCCESS if reward > 0 else Outcome.FAILURE)
    return Trajectory(
        f"{group}#{index}", group, "task", turns, ended, final_state_key=walk[-1] or None
    )


def gather(*walks: tuple[Walk, float]) -> Batch:
    return Batch.from_trajectories(episode(i, walk, r) for i, (walk, r) in enumerate(walks))


def by_trajectory(batch: Batch, method: GraphValue, host: str = "grpo") -> list[list[float]]:
    return [v.tolist() for v in np.split(assign(batch, [host, method]), batch.turn_offsets[1:-1])]


WIN, LOSE = ("s0", "s1", "won"), ("s0", "s1", "lost")


def test_graft_by_hand() -> None:
    batch = gather((WIN, 1.0), (WIN, 1.0), (LOSE, 0.0))
    method = GraphValue(gamma=0.5, gae_lambda=0.8)
    # V(s1) = 1/3, V(s0) = 1/6; D = 0, 1/6, -1/3; E(s1) = -1/12; S = -1/30, 1/6, -1/3.
    why = method.explain(batch, np.zeros(6), {})
    assert [w["from_worth"] for w in why[:2]] == pytest.approx([1 / 6, 1 / 3])
    assert [why[t]["gain"] for t in (0, 1, 5)] == pytest.approx([-1 / 30, 1 / 6, -1 / 3])
    assert [(w["edges_from_here"], w["traversals"]) for w in why[:2]] == [(1, 3), (2, 2)]
    first, second, third = by_trajectory(batch, method)
    assert first == second == pytest.approx([-1, 0.707107], abs=1e-4)
    assert third == pytest.approx([-1, -0.707107], abs=1e-4)


def test_graft_by_traversal_weighs_an_edge_by_its_use() -> None:
    batch = gather((WIN, 1.0), (WIN, 1.0), (LOSE, 0.0))
    values = by_trajectory(batch, GraphValue(gamma=0.5, gae_lambda=0.8, per_traversal=True))
    # S = 1/6, 1/6, -1/3 at s1: mean 0, sample deviation 0.288675.
    assert [row[1] for row in values] == pytest.approx([0.577350, 0.577350, -1.154701], abs=1e-4)


def test_graphgpo_by_hand() -> None:
    walks = [("s0", "s1", "won"), ("s0", "s2", "lost"), ("s0", "s1", "s3", "lost")]
    batch = gather((walks[0], 1.0), (walks[1], 0.0), (walks[2], 0.0))
    method = GraphValue(mode="graphgpo")
    why = method.explain(batch, np.zeros(7), {})
    assert json.loads(json.dumps(why)) == why
    assert [w["gain"] for w in why] == pytest.approx([1, 10, 0.01, 0.01, 1, 0.01, 0.01])
    assert [w["from_worth"] for w in why] == [2, 1, 2, None, 2, 1, None]
    step = [0.577350, 0.707107, -1.154701, 0, 0.577350, -0.707107, 0]
    host = assign(batch, "grpo")
    assert assign(batch, ["grpo", method]) == pytest.approx(host + step, abs=1e-5)
    alone = GraphValue(mode="graphgpo", host_weight=0.0, omega=0.5)
    assert assign(batch, ["grpo", alone]) == pytest.approx(np.array(step) / 2, abs=1e-5)


def test_a_good_step_of_a_failed_episode_is_rewarded() -> None:
    batch = gather((("s0", "s1", "won"), 1.0), (("s0", "s1", "lost"), 0.0), (("s0", "lost"), 0.0))
    for mode in ("graft", "graphgpo"):
        method = GraphValue(mode=mode, host_weight=0.0)  # type: ignore[arg-type]
        won, failed_later, failed_at_once = by_trajectory(batch, method)
        assert won[0] == failed_later[0] > 0 > failed_at_once[0]
        assert won[1] > 0 > failed_later[1]


def test_a_loop_has_the_value_of_its_way_out() -> None:
    batch = gather((("s", "s", "won"), 1.0))
    graph = GroupGraph.from_batch(batch, "test")
    value = solve(graph, np.full(2, 0.5), graph.reward * graph.sink, 0.5)
    assert value[graph.source[0]] == pytest.approx(1 / 3)


def test_a_loop_without_a_way_out_is_worth_nothing() -> None:
    walk = ("a", "b", "a", "b", "a")
    stuck = episode(0, walk, outcome=Outcome.TRUNCATED_TURNS)
    batch = Batch.from_trajectories([stuck, episode(1, ("a", "won"), 1.0)])
    for mode in ("graft", "graphgpo"):
        values = assign(batch, ["grpo", GraphValue(mode=mode)])  # type: ignore[arg-type]
        assert np.isfinite(values).all()
    alone = Batch.from_trajectories([stuck])
    assert assign(alone, ["grpo", "graph_value"]).tolist() == [0.0] * 4


def test_ends_are_apart_from_situations_of_the_same_name() -> None:
    graph = GroupGraph.from_batch(gather((("a", "b", "c"), 1.0), (("a", "b"), 0.0)), "test")
    assert graph.target[0] != graph.target[2]
    assert graph.sink[graph.target[2]]
    cut = [
        episode(0, ("a", "b", "c"), 1.0),
        episode(1, ("a", "b"), 0, outcome=Outcome("truncated_turns")),
    ]
    graph = GroupGraph.from_batch(Batch.from_trajectories(cut), "test")
    assert graph.target[0] == graph.target[2]
    assert not graph.sink[graph.target[2]]


def test_ends_without_a_name_are_their_own() -> None:
    graph = GroupGraph.from_batch(gather((("a", ""), 1.0), (("a", ""), 0.0)), "test")
    assert graph.reward[graph.target].tolist() == [1.0, 0.0]
    named = GroupGraph.from_batch(gather((("a", "x"), 1.0), (("a", "x"), 0.0)), "test")
    assert named.reward[named.target].tolist() == [0.5, 0.5]


def test_groups_are_apart() -> None:
    left, right = episode(0, WIN, 1.0), episode(0, LOSE, 0.0, group="h")
    graph = GroupGraph.from_batch(Batch.from_trajectories([left, right]), "test")
    assert not set(graph.source[:2]) & set(graph.source[2:])
    assert graph.group[graph.source].tolist() == [0, 0, 1, 1]


def test_equal_outcomes_teach_nothing_where_all_walk_alike() -> None:
    batch = gather(*[(LOSE, 0.0)] * 4)
    for mode in ("graft", "graphgpo"):
        method = GraphValue(mode=mode)  # type: ignore[arg-type]
        assert (assign(batch, ["grpo", method]) == 0).all()


def test_degenerate_batches() -> None:
    for mode in ("graft", "graphgpo"):
        method = GraphValue(mode=mode)  # type: ignore[arg-type]
        assert assign(Batch.from_trajectories([]), ["grpo", method]).shape == (0,)
        batch = Batch.from_trajectories([episode(0, ("a",)), episode(1, ("a", "b"), 1.0)])
        assert np.isfinite(assign(batch, ["grpo", method])).all()
        assert len(method.explain(batch, np.zeros(1), {})) == 1


def test_a_missing_state_key_names_the_trajectory() -> None:
    batch = replace(gather((WIN, 1.0)), state_keys=["s0", None])
    with pytest.raises(DataError, match=r"'graph_value' needs a state_key.*'g#0' .* at turn 1"):
        assign(batch, ["grpo", "graph_value"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mode": "gigpo"}, "Invalid enum value"),
        ({"gamma": 1.0}, "gamma must be at least 0 and below 1"),
        ({"gae_lambda": 2.0}, "gae_lambda must be between 0 and 1"),
        ({"decay": 0.0}, "decay must be above 0"),
        ({"decay": 2.0}, "decay must be between 0 and 1"),
        ({"success_reward": -1.0}, "success_reward must be above 0"),
        ({"omega": -1.0}, "omega must be at least 0"),
        ({"host_weight": -1.0}, "host_weight must be at least 0"),
        ({"eps": 0.0}, "eps must be above 0"),
    ],
)
def test_mistakes_are_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(["grpo", {"graph_value": parameters}])
    assert "\n" not in str(caught.value)


def test_a_mode_mistaken_in_code_is_named() -> None:
    with pytest.raises(ConfigError, match="no mode 'gae'"):
        GraphValue(mode="gae")  # type: ignore[arg-type]


walks = st.tuples(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=7),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.booleans(),
)
shapes = st.lists(walks, min_size=1, max_size=6)


def build(shape: list[Any]) -> Batch:
    return Batch.from_trajectories(
        episode(
            i,
            walk,
            reward,
            group="gh"[i % 2],
            outcome=Outcome.TRUNCATED_TURNS if cut else None,
        )
        for i, (walk, reward, cut) in enumerate(shape)
    )


def solved_at_once(graph: GroupGraph, weights: Floats, constants: Floats, factor: float) -> Floats:
    """All nodes of all groups as one dense system."""
    matrix = np.eye(len(constants))
    np.subtract.at(matrix, (graph.source, graph.target), factor * weights)
    return np.linalg.solve(matrix, constants)


@pytest.mark.parametrize("dense", [0, 512])
@given(shape=shapes, factor=st.sampled_from([0.0, 0.5, 0.99]), seed=st.integers(0, 999))
def test_solutions_equal_one_dense_system(
    dense: int, shape: list[Any], factor: float, seed: int
) -> None:
    graph = GroupGraph.from_batch(build(shape), "test")
    constants = np.random.default_rng(seed).normal(size=len(graph.sink))
    weights = 1.0 / np.bincount(graph.source, minlength=1)[graph.source]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_graph, "DENSE", dense)
        found = solve(graph, weights, constants, factor)
    np.testing.assert_allclose(
        found, solved_at_once(graph, weights, constants, factor), rtol=1e-9, atol=1e-10
    )


@given(shape=shapes)
def test_distances_equal_a_search(shape: list[Any]) -> None:
    graph = GroupGraph.from_batch(build(shape), "test")
    expected = np.where(graph.success, 0.0, np.inf)
    for _ in expected:
        for here, there in zip(graph.source, graph.target, strict=True):
            expected[here] = min(expected[here], expected[there] + 1)
    assert graph.distances().tolist() == expected.tolist()


@pytest.mark.parametrize("mode", ["graft", "graphgpo"])
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_order_names_and_observation_tokens_do_not_matter(
    mode: Any, shape: list[Any], seed: int
) -> None:
    played = [episode(i, walk, reward) for i, (walk, reward, _) in enumerate(shape)]
    order = np.random.default_rng(seed).permutation(len(shape))
    again = [
        replace(episode(i, shape[i][0], shape[i][1], prompt=7), id=f"other {i}", group="other")
        for i in order
    ]
    method = ["grpo", GraphValue(mode=mode)]
    left, right = Batch.from_trajectories(played), Batch.from_trajectories(again)
    values = np.split(assign(left, method), left.turn_offsets[1:-1])
    shuffled = np.split(assign(right, method), right.turn_offsets[1:-1])
    for position, i in enumerate(order):
        np.testing.assert_allclose(shuffled[position], values[i], atol=1e-7)
