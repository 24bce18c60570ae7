from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import assign, parse
from agentrl.credit.oprl import Oprl
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Trajectory

Make = Callable[..., Trajectory]

RATIOS = np.array([4.0, 2.0, 6.0, -2.0, -4.0, 1.0, -3.0, -1.0])
"""Of the turns of three trajectories, three, two and three turns long; the first one succeeds."""


def trajectories(make: Make) -> list[Trajectory]:
    rewards = [[0, 0, 1], [0, 0], [0, 0, 0]]
    return [make("g", i, r, [i + 1] * len(r)) for i, r in enumerate(rewards)]


@pytest.fixture
def batch(make_trajectory: Make) -> Batch:
    return Batch.from_trajectories(trajectories(make_trajectory))


GRPO_FORM = [
    2.189653, 1.618644, 2.760662, -1.255423, -1.826432, -0.398909, -1.540927, -0.969918
]  # fmt: skip
RLOO_FORM = [
    1.690474, 1.309523, 2.071425, -0.952379, -1.333331, -0.380953, -1.142855, -0.761904
]  # fmt: skip


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (["grpo", {"oprl": {"scale": "none"}}], GRPO_FORM),
        (["rloo", "oprl"], RLOO_FORM),
    ],
)
def test_worked_example(batch: Batch, methods: list, expected: list[float]) -> None:
    got = assign(batch, methods, {"prm_log_ratio": RATIOS})
    assert got == pytest.approx(expected, abs=1e-6)


def test_beta_cancels_with_the_largest_magnitude(batch: Batch) -> None:
    got = assign(batch, ["rloo", {"oprl": {"beta": 7.0}}], {"prm_log_ratio": RATIOS})
    assert got == pytest.approx(RLOO_FORM, abs=1e-5)


def test_step_advantages_of_the_worked_example(batch: Batch) -> None:
    why = Oprl(scale="none", normaliser="std").explain(
        batch, np.zeros(8), {"prm_log_ratio": RATIOS}
    )
    assert json.loads(json.dumps(why, allow_nan=False)) == why
    expected = [1.034954, 0.463945, 1.605964, -0.678074, -1.249083, 0.178440, -0.963578, -0.392569]
    assert [record["step_advantage"] for record in why] == pytest.approx(expected, abs=1e-6)
    assert [r["step_reward"] for r in why[:3]] == pytest.approx([0.2, 0.1, 0.3])


@pytest.mark.parametrize(
    ("host", "normaliser"),
    [
        ("grpo", "std"),
        ("dr_grpo", "mean"),
        ("rloo", "leave_one_out"),
        ("reinforce_pp_baseline", "whiten"),
        ("dr_mas", "std"),
    ],
)
def test_the_host_decides_the_normaliser(host: str, normaliser: str) -> None:
    assert parse([host, "oprl"])[1] == Oprl(normaliser=normaliser)
    assert parse([host, Oprl()])[1] == Oprl(normaliser=normaliser)
    assert parse([host, {"oprl": {"normaliser": "mean"}}])[1] == Oprl(normaliser="mean")


def test_centred_and_whitened_forms(batch: Batch) -> None:
    given = {"prm_log_ratio": RATIOS}
    centred = Oprl(scale="none", normaliser="mean")(batch, np.zeros(8), given)
    assert centred == pytest.approx(0.05 * (RATIOS - RATIOS.mean()))
    whitened = Oprl(scale="none", normaliser="whiten")(batch, np.zeros(8), given)
    per_token = np.repeat(centred, [1, 1, 1, 2, 2, 3, 3, 3])
    expected = centred - per_token.mean()
    assert whitened == pytest.approx(expected / np.sqrt(per_token.var(ddof=1) + 1e-8))


def test_first_iteration_is_the_host(batch: Batch) -> None:
    got = assign(batch, ["rloo", "oprl"], {"prm_log_ratio": np.zeros(8)})
    assert got.tolist() == assign(batch, "rloo").tolist()
    assert assign(batch, ["grpo", {"oprl": {"alpha": 0}}], {"prm_log_ratio": RATIOS}) == (
        pytest.approx(assign(batch, "grpo"))
    )


def test_groups_do_not_mix_but_the_scale_is_the_batch_s(make_trajectory: Make) -> None:
    own = trajectories(make_trajectory)
    other = [replace(t, id=f"h{t.id}", group="h") for t in own]
    both = Batch.from_trajectories(own + other)
    ratios = np.concatenate([RATIOS, 10 * RATIOS])
    method = Oprl(normaliser="mean")
    got = method(both, np.zeros(16), {"prm_log_ratio": ratios})
    assert got[8:] == pytest.approx(10 * got[:8])
    assert got[:8] == pytest.approx((RATIOS - RATIOS.mean()) / 60, abs=1e-6)


def test_invalid_turns_pay_in_step_rewards(make_trajectory: Make) -> None:
    own = trajectories(make_trajectory)
    own[1].turns[0].valid = False
    batch = Batch.from_trajectories(own)
    given = {"prm_log_ratio": RATIOS}
    free = Oprl(normaliser="mean")(batch, np.zeros(8), given)
    fined = Oprl(normaliser="mean", invalid_action_penalty=0.1)(batch, np.zeros(8), given)
    expected = np.full(8, 0.1 / 8)
    expected[3] -= 0.1
    assert fined - free == pytest.approx(expected)


@pytest.mark.parametrize("normaliser", ["std", "mean", "leave_one_out", "whiten"])
def test_the_only_turn_of_a_group_gets_no_step_advantage(
    make_trajectory: Make, normaliser: str
) -> None:
    batch = Batch.from_trajectories([make_trajectory("g", 0, [1], [2])])
    method = Oprl(normaliser=normaliser)
    assert method(batch, np.ones(1), {"prm_log_ratio": np.array([3.0])}).tolist() == [1.0]
    empty = Batch.from_trajectories([make_trajectory("g", 0, [], [])])
    assert method(empty, np.empty(0), {"prm_log_ratio": np.empty(0)}).shape == (0,)


def test_missing_ratios_name_the_trajectory(batch: Batch) -> None:
    ratios = RATIOS.copy()
    ratios[4] = np.nan
    with pytest.raises(DataError, match=r"turn 1 of trajectory 'g#1' of group 'g'"):
        assign(batch, ["grpo", "oprl"], {"prm_log_ratio": ratios})
    with pytest.raises(ConfigError, match="'prm_log_ratio', which was not given"):
        assign(batch, ["grpo", "oprl"])
    with pytest.raises(ConfigError, match=r"shape \(8,\)"):
        assign(batch, ["grpo", "oprl"], {"prm_log_ratio": np.zeros((8, 2))})


@pytest.mark.parametrize(
    "parameters",
    [
        {"beta": 0.0},
        {"alpha": -1.0},
        {"scale": "std"},
        {"normaliser": "rloo"},
        {"invalid_action_penalty": -0.1},
        {"eps": 0.0},
    ],
)
def test_senseless_parameters(parameters: dict) -> None:
    with pytest.raises(ConfigError, match="oprl"):
        Oprl(**parameters)
