from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.credit import assign
from agentrl.credit.empg import Empg
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Trajectory

Make = Callable[..., Trajectory]

ENTROPIES = [0.2, 1.0, 0.6, 0.4, 0.2]
"""Of a trajectory of three turns and one of two."""
HOST = np.array([1.0, 1.0, 1.0, -1.0, -1.0])


def batch_of(make: Make, lengths: list[int], tokens: int = 2) -> Batch:
    return Batch.from_trajectories(
        make("g", i, [0.0] * n, [tokens] * n) for i, n in enumerate(lengths)
    )


def spread(batch: Batch, per_turn: list[float]) -> dict[str, np.ndarray]:
    """Entropies whose mean over each turn's sampled tokens is as given; read tokens have others."""
    values = np.array(per_turn)[batch.turn_of_token()]
    ripple = np.where(np.arange(batch.num_tokens) % 2 == 0, 0.05, -0.05)
    return {"entropy": np.where(batch.sampled, values + ripple, 99.0)}


def example(make: Make, method: Empg) -> np.ndarray:
    batch = batch_of(make, [3, 2])
    return method(batch, HOST, spread(batch, ENTROPIES))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Empg(), [1.278725, 0.448551, 0.736154, -1.059375, -1.404055]),
        (Empg(zeta=0.1), [1.277375, 0.459133, 0.716410, -1.029119, -1.423799]),
        (Empg(centre=False), [1.350587, 0.520413, 0.808016, -0.987513, -1.332193]),
    ],
)
def test_worked_example(make_trajectory: Make, method: Empg, expected: list[float]) -> None:
    assert example(make_trajectory, method) == pytest.approx(expected, abs=1e-6)


def test_scale_and_clarity_of_the_worked_example(make_trajectory: Make) -> None:
    batch = batch_of(make_trajectory, [3, 2])
    why = Empg().explain(batch, HOST, spread(batch, ENTROPIES))
    assert json.loads(json.dumps(why, allow_nan=False)) == why
    scales = [record["scale"] for record in why]
    assert scales == pytest.approx([1.332193, 0.490086, 0.808016, 1.037513, 1.332193], abs=1e-6)
    bonus = [record["clarity_bonus"] / 0.05 for record in why]
    assert bonus == pytest.approx([0.367879, 0.606531, 0, 1, 0], abs=1e-6)
    assert [record["entropy"] for record in why] == pytest.approx(ENTROPIES)


def test_equal_entropies_leave_only_the_bonus(make_trajectory: Make) -> None:
    batch = batch_of(make_trajectory, [3, 2])
    given_signals = {"entropy": np.full(batch.num_tokens, 0.7)}
    got = Empg(centre=False)(batch, HOST, given_signals)
    assert got == pytest.approx([1.05, 1.05, 1.0, -0.95, -1.0])


def test_zero_variance_groups_learn_from_the_bonus(make_trajectory: Make) -> None:
    batch = batch_of(make_trajectory, [3, 2])
    got = Empg()(batch, np.zeros(5), spread(batch, ENTROPIES))
    assert np.abs(got).max() > 0
    assert got.sum() == pytest.approx(0, abs=1e-12)


def test_a_turn_without_sampled_tokens_is_passed_over(make_trajectory: Make) -> None:
    full = batch_of(make_trajectory, [3, 2])
    trajectories = [
        make_trajectory("g", 0, [0.0] * 4, [2, 0, 2, 2]),
        make_trajectory("g", 1, [0.0] * 2, [2, 2]),
    ]
    holed = Batch.from_trajectories(trajectories)
    host = np.insert(HOST, 1, 7.0)
    entropies = ENTROPIES
    got = Empg()(holed, host, spread(holed, [entropies[0], 5.0, *entropies[1:]]))
    assert np.delete(got, 1) == pytest.approx(Empg()(full, HOST, spread(full, entropies)))
    assert got[1] == 7.0


def test_a_batch_without_sampled_tokens_is_unchanged(make_trajectory: Make) -> None:
    batch = batch_of(make_trajectory, [3, 2], tokens=0)
    assert Empg()(batch, HOST, {"entropy": np.zeros(batch.num_tokens)}).tolist() == HOST.tolist()
    empty = Batch.from_trajectories([])
    assert assign(empty, ["grpo", "empg"], {"entropy": np.empty(0)}).shape == (0,)


def test_one_broken_turn_does_not_squeeze_a_clipped_range(make_trajectory: Make) -> None:
    batch = batch_of(make_trajectory, [20])
    entropies = [*np.linspace(0.1, 1.0, 19), 1000.0]
    host = np.ones(20)
    plain = Empg(zeta=0, centre=False)(batch, host, spread(batch, entropies))
    clipped = Empg(zeta=0, centre=False, clip_percentile=90)(batch, host, spread(batch, entropies))
    assert np.ptp(plain[:19]) < 0.01
    assert np.ptp(clipped[:19]) > 0.5


@given(
    entropies=st.lists(st.floats(0, 12), min_size=5, max_size=5),
    k=st.floats(0, 4),
    scale=st.floats(-9, 9),
)
def test_scales_average_one_output_zero_and_last_turns_get_no_bonus(
    make_trajectory: Make, entropies: list[float], k: float, scale: float
) -> None:
    batch = batch_of(make_trajectory, [3, 2])
    given_signals = spread(batch, entropies)
    why = Empg(k=k).explain(batch, HOST, given_signals)
    assert np.mean([record["scale"] for record in why]) == pytest.approx(1)
    assert [why[2]["clarity_bonus"], why[4]["clarity_bonus"]] == [0, 0]
    assert Empg(k=k)(batch, HOST, given_signals).mean() == pytest.approx(0, abs=1e-9)
    linear = Empg(k=k, zeta=0)
    np.testing.assert_allclose(
        linear(batch, scale * HOST, given_signals),
        scale * linear(batch, HOST, given_signals),
        atol=1e-9,
    )


def test_missing_entropies_name_the_trajectory(make_trajectory: Make) -> None:
    batch = batch_of(make_trajectory, [3, 2])
    values = np.where(batch.turn_of_token() == 3, np.nan, 0.5)
    with pytest.raises(DataError, match=r"turn 0 of trajectory 'g#1' of group 'g'"):
        Empg()(batch, HOST, {"entropy": values})
    with pytest.raises(ConfigError, match="'entropy', which was not given"):
        assign(batch, ["grpo", "empg"])
    with pytest.raises(ConfigError, match="one value per token"):
        assign(batch, ["grpo", "empg"], {"entropy": np.zeros(2)})


@pytest.mark.parametrize(
    "parameters",
    [
        {"k": -1.0},
        {"k_clarity": float("inf")},
        {"zeta": -0.1},
        {"clip_percentile": 50.0},
        {"eps": 0},
    ],
)
def test_senseless_parameters(parameters: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="empg"):
        Empg(**parameters)
