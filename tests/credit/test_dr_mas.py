from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import Grpo, assign
from agentrl.credit.dr_mas import DrMas
from agentrl.errors import ConfigError
from agentrl.trajectory import Trajectory

Make = Callable[..., Trajectory]


def episode(make: Make, index: int, reward: float, agents: str, group: str = "g") -> Trajectory:
    """An episode that pays at its end, and whose turns the given agents took."""
    rewards = [0.0] * (len(agents) - 1) + [reward] if agents else []
    made = make(group, index, rewards, [1] * len(agents))
    for turn, agent in zip(made.turns, agents, strict=True):
        turn.agent = agent
    return made


def values(trajectories: Sequence[Trajectory], method: DrMas | None = None) -> np.ndarray:
    return assign(Batch.from_trajectories(trajectories), method or DrMas())


def test_worked_example(make_trajectory: Make) -> None:
    rewards = {"a": [1, 0, 1, 1], "b": [0, 0, 0, 1]}
    rows = [(agent, reward) for agent, own in rewards.items() for reward in own]
    trajectories = [episode(make_trajectory, i, r, agent) for i, (agent, r) in enumerate(rows)]
    expected = [0.5, -1.5, 0.5, 0.5, -0.5, -0.5, -0.5, 1.5]
    assert values(trajectories) == pytest.approx(expected, abs=1e-5)
    pooled = np.abs(assign(Batch.from_trajectories(trajectories), "grpo"))
    assert pooled == pytest.approx(np.full(8, 0.935413), abs=1e-5)


def test_an_episode_counts_once_per_turn_of_the_agent(make_trajectory: Make) -> None:
    trajectories = [
        episode(make_trajectory, 0, 1, "aab"),
        episode(make_trajectory, 1, 0, "ab"),
        episode(make_trajectory, 2, 0, "b"),
    ]
    got = values(trajectories)
    a, b = np.array([1, 1, 0]), np.array([1, 0, 0])
    assert got[[0, 1, 3]] == pytest.approx((a - a.mean()) / a.std(ddof=1), abs=1e-5)
    assert got[[2, 4, 5]] == pytest.approx((b - b.mean()) / b.std(ddof=1), abs=1e-5)
    once = values(trajectories, DrMas(weighting="trajectory"))
    assert once[[0, 1, 3]] == pytest.approx(np.array([1, 1, -1]) / np.sqrt(2), abs=1e-5)


def test_one_agent_counted_once_is_grpo(make_trajectory: Make) -> None:
    shapes = [(1, "aaa"), (0, "a"), (0.5, "aa"), (0, "")]
    batch = Batch.from_trajectories(
        episode(make_trajectory, i, r, agents) for i, (r, agents) in enumerate(shapes) if agents
    )
    got = assign(batch, DrMas(weighting="trajectory"))
    assert got == pytest.approx(assign(batch, Grpo()))


def test_groups_do_not_mix(make_trajectory: Make) -> None:
    first = [episode(make_trajectory, i, r, "ab") for i, r in enumerate([1, 0])]
    second = [episode(make_trajectory, i, r, "ba", "h") for i, r in enumerate([5, 5, 7])]
    assert values(first + second)[:4] == pytest.approx(values(first))


def test_degenerate_groups(make_trajectory: Make) -> None:
    equal = [episode(make_trajectory, i, 0.7, "ab" * i) for i in range(4)]
    assert (values(equal) == 0).all()
    alone = values([episode(make_trajectory, 0, 3.0, "ab")])
    assert alone == pytest.approx([3.0, 3.0], rel=1e-5)
    assert values([]).shape == (0,)
    assert values([], DrMas(weighting="trajectory")).shape == (0,)


def test_explains_with_the_agent(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories(
        [episode(make_trajectory, 0, 1, "ab"), episode(make_trajectory, 1, 0, "a")]
    )
    why = DrMas().explain(batch, None, {})
    assert json.loads(json.dumps(why)) == why
    assert why[0] == {
        "agent": "a", "return": 1.0, "mean": 0.5, "std": pytest.approx(0.5**0.5), "compared": 2
    }  # fmt: skip
    assert why[1]["compared"] == 1


@pytest.mark.parametrize("parameters", [{"weighting": "row"}, {"ddof": 2}, {"eps": 0.0}])
def test_senseless_parameters(parameters: dict) -> None:
    with pytest.raises(ConfigError, match="dr_mas"):
        DrMas(**parameters)
