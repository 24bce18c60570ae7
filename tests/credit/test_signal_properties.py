"""What holds for every method that reads signals, agents or its memory, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.credit import assign, parse
from agentrl.credit.base import Explains
from agentrl.trajectory import Outcome, Trajectory

LISTS: dict[str, list[Any]] = {
    "igpo": ["grpo", "igpo"],
    "igpo joint": ["grpo", {"igpo": {"normalise": "joint", "difference": "prob", "gamma": 0.9}}],
    "empg": ["grpo", {"empg": {"k": 2.0}}],
    "empg clipped": ["rloo", {"empg": {"clip_percentile": 90.0}}],
    "oprl": ["rloo", "oprl"],
    "oprl whitened": ["reinforce_pp_baseline", "oprl"],
    "igpo empg": ["grpo", "igpo", "empg"],
    "gae": [{"gae": {"lambda_token": 0.9}}],
    "gae turn": [{"gae": {"mode": "turn", "gamma_turn": 0.9}}, "whiten"],
    "gae bi_level": [{"gae": {"mode": "bi_level", "gamma_turn": 0.9}}],
    "gae dual_discount": [{"gae": {"mode": "dual_discount", "gamma_turn": 0.9}}],
    "dr_mas": ["dr_mas"],
    "dr_mas trajectory": [{"dr_mas": {"weighting": "trajectory"}}, "oprl"],
    "spo": ["spo", "empg"],
}
every_list = pytest.mark.parametrize("methods", LISTS.values(), ids=LISTS.keys())

few = settings(max_examples=25)

rewards = st.integers(-4, 4).map(lambda n: n / 4)
turns = st.lists(st.tuples(rewards, st.integers(0, 3)), max_size=4)
groups = st.lists(st.lists(turns, min_size=1, max_size=4), min_size=1, max_size=3)

Shape = list[list[list[tuple[float, int]]]]
Make = Callable[..., Trajectory]


def build(make: Make, shape: Shape, **options: int) -> list[Trajectory]:
    """Episodes of the shape; each has a number of its own that its signals follow from."""
    made: list[Trajectory] = []
    for g, group in enumerate(shape):
        for i, steps in enumerate(group):
            one = make(f"g{g}", i, [r for r, _ in steps], [n for _, n in steps], **options)
            for position, turn in enumerate(one.turns):
                turn.agent = "planner" if (position + i) % 2 else "writer"
            outcome = Outcome.TRUNCATED_TURNS if (g + i) % 3 == 0 else one.outcome
            made.append(replace(one, seed=len(made), answer="yes", outcome=outcome))
    return made


def signals_of(batch: Batch, trajectories: list[Trajectory]) -> dict[str, np.ndarray]:
    """Signals as a trainer gives them; where tokens were read they hold nonsense."""
    seeds = {t.id: t.seed for t in trajectories}
    per_token: list[np.ndarray] = []
    beliefs: list[np.ndarray] = []
    ratios: list[np.ndarray] = []
    owner = batch.trajectory_of_turn()[batch.turn_of_token()]
    for i, id_ in enumerate(batch.ids):
        rng = np.random.default_rng(seeds[id_])
        count = int(np.diff(batch.turn_offsets)[i])
        path = -rng.exponential(2, count + 1)
        beliefs.append(np.stack([path[:-1], path[1:]], axis=1))
        ratios.append(rng.normal(size=count))
        per_token.append(rng.exponential(1, int(batch.sampled[owner == i].sum())))
    token = np.full(batch.num_tokens, np.nan)
    token[batch.sampled] = np.concatenate(per_token)
    return {
        "entropy": token,
        "value": token / 3,
        "answer_logprob": np.concatenate(beliefs),
        "prm_log_ratio": np.concatenate(ratios),
    }


def action_values(trajectories: list[Trajectory], methods: list[Any]) -> dict[str, np.ndarray]:
    """The advantages of the sampled tokens, by trajectory id."""
    batch = Batch.from_trajectories(trajectories)
    values = assign(batch, methods, signals_of(batch, trajectories), level="token")
    owner = batch.trajectory_of_turn()[batch.turn_of_token()]
    return {id_: values[(owner == i) & batch.sampled] for i, id_ in enumerate(batch.ids)}


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for key in left:
        assert np.isfinite(left[key]).all()
        np.testing.assert_allclose(left[key], right[key], rtol=1e-8, atol=1e-8)


@every_list
@few
@given(shape=groups, seed=st.integers(0, 2**32 - 1))
def test_order_does_not_matter(
    make_trajectory: Make, methods: list[Any], shape: Shape, seed: int
) -> None:
    trajectories = build(make_trajectory, shape)
    order = np.random.default_rng(seed).permutation(len(trajectories))
    shuffled = [trajectories[i] for i in order]
    assert_same(action_values(trajectories, methods), action_values(shuffled, methods))


@every_list
@few
@given(shape=groups)
def test_names_do_not_matter(make_trajectory: Make, methods: list[Any], shape: Shape) -> None:
    trajectories = build(make_trajectory, shape)
    agents = {"planner": "b", "writer": "a"}
    renamed = [
        replace(
            t,
            id=f"{i}",
            group=f"other {t.group}",
            task_id=f"other {t.task_id}",
            turns=[replace(turn, agent=agents[turn.agent]) for turn in t.turns],
        )
        for i, t in enumerate(trajectories)
    ]
    left, right = action_values(trajectories, methods), action_values(renamed, methods)
    assert_same(left, dict(zip(left, right.values(), strict=True)))


@every_list
@few
@given(shape=groups, prompt=st.integers(1, 9))
def test_observation_tokens_do_not_matter(
    make_trajectory: Make, methods: list[Any], shape: Shape, prompt: int
) -> None:
    left = action_values(build(make_trajectory, shape), methods)
    assert_same(left, action_values(build(make_trajectory, shape, prompt=prompt), methods))


@every_list
@few
@given(shape=groups)
def test_every_turn_is_explained(make_trajectory: Make, methods: list[Any], shape: Shape) -> None:
    trajectories = build(make_trajectory, shape)
    batch = Batch.from_trajectories(trajectories)
    host = np.linspace(-1, 1, batch.num_turns)
    for method in parse(methods):
        if isinstance(method, Explains):
            why = method.explain(batch, host, signals_of(batch, trajectories))
            assert len(why) == batch.num_turns
