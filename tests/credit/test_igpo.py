from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import assign
from agentrl.credit.igpo import Igpo
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Trajectory

Make = Callable[..., Trajectory]

BELIEFS = [[-3, -2, -1], [-3, -3.5, -2.5], [-3, -2.8]]
"""The answer's mean log-probability after 0, 1, … turns; the last turn's is never read."""


def group(make: Make, outcomes: list[float], beliefs: list[list[float]]) -> list[Trajectory]:
    return [
        replace(make("g", i, [0.0] * (len(b) - 1) + [outcome], [2] * len(b), prompt=i), answer="a")
        for i, (outcome, b) in enumerate(zip(outcomes, beliefs, strict=True))
    ]


def signals(beliefs: list[list[float]]) -> dict[str, np.ndarray]:
    rows = [pair for b in beliefs for pair in zip(b, [*b[1:], np.nan], strict=True)]
    return {"answer_logprob": np.array(rows, np.float64).reshape(-1, 2)}


def values(make: Make, method: Igpo, outcomes: list[float], beliefs=BELIEFS) -> list[float]:
    batch = Batch.from_trajectories(group(make, outcomes, beliefs))
    return assign(batch, ["grpo", method], signals(beliefs)).tolist()


@pytest.mark.parametrize(
    ("method", "outcomes", "expected"),
    [
        (
            Igpo(),
            [1, 0, 0],
            [2.934091, 2.174151, 1.414211, -1.665291, 0.052835, -0.707105, -1.268800, -0.707105],
        ),
        (
            Igpo(gamma=0.5),
            [1, 0, 0],
            [1.493463, 1.467045, 1.414211, -1.514932, 0.406387, -0.707105, -0.915248, -0.707105],
        ),
        (
            Igpo(normalise="joint"),
            [1, 0, 0],
            [2.840137, 1.893425, 0.946712, -1.563176, 0.132099, -0.814613, -1.276961, -0.814613],
        ),
        (Igpo(), [0, 0, 0], [1.519880, 0.759940, 0, -0.958185, 0.759940, 0, -0.561695, 0]),
    ],
)
def test_worked_example(
    make_trajectory: Make, method: Igpo, outcomes: list[float], expected: list[float]
) -> None:
    assert values(make_trajectory, method, outcomes) == pytest.approx(expected, abs=1e-6)


def test_probability_differences(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories(group(make_trajectory, [1, 0, 0], BELIEFS))
    method = Igpo(difference="prob")
    why = method.explain(batch, np.zeros(batch.num_turns), signals(BELIEFS))
    gains = [record["information_gain"] for record in why[:2]]
    assert gains == pytest.approx([0.085548, 0.232544], abs=1e-6)


def test_one_turn_carries_the_outcome_alone(make_trajectory: Make) -> None:
    beliefs = [[-1.0], [-2.0], [-5.0, -1.0]]
    got = values(make_trajectory, Igpo(), [1, 0, 0], beliefs)
    assert got == pytest.approx([1.414211, -0.707105, -0.707105, -0.707105], abs=1e-6)


def test_a_gain_of_zero_counts_and_one_that_is_no_number_does_not(make_trajectory: Make) -> None:
    zero = values(make_trajectory, Igpo(), [0, 0, 0], [[-1, -1, -1], [-2, -1, -1], [-1, -1]])
    # Gains 0, 0 | 1, 0 | 0: mean 0.2, population deviation 0.4.
    high, low = 0.8 / 0.4, -0.2 / 0.4
    expected = [2 * low, low, 0, high + low, low, 0, low, 0]
    assert zero == pytest.approx(expected, abs=1e-5)
    beliefs = [[-1, np.nan, -1], [-2, -1, -1], [-1, -1]]
    masked = values(make_trajectory, Igpo(), [0, 0, 0], beliefs)
    # Gains 1, 0 | 0 are left: mean 1/3, population deviation sqrt(2) / 3.
    high, low = np.sqrt(2), -np.sqrt(0.5)
    assert masked == pytest.approx([0, 0, 0, high + low, low, 0, low, 0], abs=1e-5)


def test_certain_and_impossible_answers_are_left_out(make_trajectory: Make) -> None:
    beliefs = [[-np.inf, -1, -1], [-np.inf, -np.inf, -2], [-3, -1, -1]]
    got = values(make_trajectory, Igpo(), [0, 0, 0], beliefs)
    assert np.isfinite(got).all()
    assert got[3:5] == [0, 0]


def test_pools_are_the_groups(make_trajectory: Make) -> None:
    first = group(make_trajectory, [1, 0, 0], BELIEFS)
    second = [
        replace(t, group="h", id=f"h{t.id}") for t in group(make_trajectory, [0, 1], BELIEFS[:2])
    ]
    both = assign(
        Batch.from_trajectories(first + second), ["grpo", "igpo"], signals(BELIEFS + BELIEFS[:2])
    )
    alone = values(make_trajectory, Igpo(), [1, 0, 0])
    assert both[: len(alone)] == pytest.approx(alone)


def test_group_of_one_and_a_lone_gain(make_trajectory: Make) -> None:
    # Two gains of one episode are compared with each other; its outcome keeps its value.
    assert values(make_trajectory, Igpo(), [2.0], [[-3, -2, -2]]) == pytest.approx(
        [2.0, 1.0, 2.0], abs=1e-3
    )
    assert values(make_trajectory, Igpo(), [2.0], [[-3, -2]]) == pytest.approx([2.0, 2.0])


def test_a_trajectory_without_turns(make_trajectory: Make) -> None:
    with_empty = [*group(make_trajectory, [1, 0], BELIEFS[:2]), make_trajectory("g", 9, [], [])]
    got = assign(Batch.from_trajectories(with_empty), ["grpo", "igpo"], signals(BELIEFS[:2]))
    # Its return of 0 is in the pool of outcomes: 1, 0, 0.
    assert got[[2, 5]] == pytest.approx([1.414211, -0.707105], abs=1e-6)
    empty = Batch.from_trajectories([make_trajectory("g", 0, [], [])])
    assert assign(empty, ["grpo", "igpo"], signals([])).shape == (0,)


def test_host_outcome_and_weights(make_trajectory: Make) -> None:
    method = Igpo(outcome="host", gain_weight=0.0, outcome_weight=0.5)
    batch = Batch.from_trajectories(group(make_trajectory, [1, 0, 0], BELIEFS))
    got = assign(batch, ["rloo", method], signals(BELIEFS))
    assert got == pytest.approx([0.5] * 3 + [-0.25] * 5)


def test_missing_scores_name_the_trajectory(make_trajectory: Make) -> None:
    trajectories = group(make_trajectory, [1, 0, 0], BELIEFS)
    trajectories[1].answer = None
    given = signals(BELIEFS)
    given["answer_logprob"][4, 1] = np.nan
    with pytest.raises(DataError, match=r"turn 1 of trajectory 'g#1' .*answer") as caught:
        assign(Batch.from_trajectories(trajectories), ["grpo", "igpo"], given)
    assert "\n" not in str(caught.value)


def test_signal_is_needed_in_its_shape(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories(group(make_trajectory, [1, 0, 0], BELIEFS))
    with pytest.raises(ConfigError, match="'answer_logprob', which was not given"):
        assign(batch, ["grpo", "igpo"])
    with pytest.raises(ConfigError, match=r"in shape \(8, 2\)"):
        assign(batch, ["grpo", "igpo"], {"answer_logprob": np.zeros(8)})


@pytest.mark.parametrize(
    "parameters",
    [
        {"normalise": "no"},
        {"difference": "ratio"},
        {"outcome": "none"},
        {"outcome": "host", "normalise": "joint"},
        {"gamma": 1.1},
        {"gain_weight": -1.0},
        {"ddof": 3},
    ],
)
def test_senseless_parameters(parameters: dict) -> None:
    with pytest.raises(ConfigError, match="igpo"):
        Igpo(**parameters)


def test_explains_every_turn_in_plain_json(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories(group(make_trajectory, [1, 0, 0], BELIEFS))
    why = Igpo().explain(batch, np.zeros(batch.num_turns), signals(BELIEFS))
    assert json.loads(json.dumps(why, allow_nan=False)) == why
    assert why[3]["information_gain"] == -0.5
    assert why[3]["z"] == pytest.approx(-1.718125, abs=1e-6)
    assert why[2] == {"outcome": 1.0, "z": pytest.approx(1.414211, abs=1e-6)}
