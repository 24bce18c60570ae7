from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import ReinforcePP, assign
from agentrl.credit.returns import discounted_returns
from agentrl.errors import ConfigError
from agentrl.trajectory import Trajectory

Make = Callable[..., Trajectory]


def standardised(per_token: list[float]) -> np.ndarray:
    values = np.array(per_token)
    return (values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-8)


def test_reward_to_go_whitened_over_tokens(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories(
        [make_trajectory("a", 0, [0, 1], [2, 1]), make_trajectory("b", 0, [0.5, 0], [1, 3])]
    )
    values = assign(batch, "reinforce_pp")
    per_token = standardised([1, 1, 1, 0.5, 0, 0, 0])
    assert values == pytest.approx(per_token[[0, 2, 3, 4]])


def test_discount_is_per_turn(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories([make_trajectory("a", 0, [0, 0, 1], [1, 1, 1])])
    values = assign(batch, ReinforcePP(gamma=0.5))
    assert values == pytest.approx(standardised([0.25, 0.5, 1]))


def test_groups_play_no_part(make_trajectory: Make) -> None:
    rewards = [[1.0], [0.0], [0.0], [0.25]]
    together = [make_trajectory("g", i, r, [1]) for i, r in enumerate(rewards)]
    apart = [make_trajectory(f"g{i}", i, r, [1]) for i, r in enumerate(rewards)]
    left = assign(Batch.from_trajectories(together), "reinforce_pp")
    assert left == pytest.approx(assign(Batch.from_trajectories(apart), "reinforce_pp"))


def test_kl_penalty_is_paid_token_by_token(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories([make_trajectory("a", 0, [0, 1], [2, 2], prompt=1)])
    reference = batch.logprobs - np.array([0, 0.1, 0.2, 0, 0.3, 0.4], np.float32)
    method = ReinforcePP(kl_coefficient=0.5)
    assert method.needs == {"ref_logprob"}
    values = assign(batch, method, {"ref_logprob": reference})
    # Penalties -0.05, -0.1 | -0.15, -0.2: summed from each token to the end, plus the reward 1.
    expected = standardised([0.5, 0.55, 0.65, 0.8])
    assert values[[1, 2, 4, 5]] == pytest.approx(expected, abs=1e-5)
    assert values[[0, 3]].tolist() == [0, 0]


def test_kl_penalty_with_discount_equals_a_plain_loop(make_trajectory: Make) -> None:
    rng = np.random.default_rng(0)
    rows = [([0.0, 0.3, 1.0], [2, 1, 3]), ([0.0, -0.2], [1, 2])]
    batch = Batch.from_trajectories(
        [make_trajectory("g", i, rewards, tokens) for i, (rewards, tokens) in enumerate(rows)]
    )
    reference = rng.normal(-1, 0.5, batch.num_tokens)
    method = ReinforcePP(gamma=0.9, kl_coefficient=0.1)
    penalty = -0.1 * (batch.logprobs.astype(float) - reference)
    to_go = np.zeros(batch.num_tokens)
    for first, last in zip(batch.turn_offsets, batch.turn_offsets[1:], strict=False):
        carry = 0.0
        for turn in range(last - 1, first - 1, -1):
            carry = batch.rewards[turn] + 0.9 * carry
            for token in range(
                batch.token_offsets[turn + 1] - 1, batch.token_offsets[turn] - 1, -1
            ):
                if batch.sampled[token]:
                    carry += penalty[token]
                    to_go[token] = carry
    expected = standardised(to_go[batch.sampled].tolist())
    values = assign(batch, method, {"ref_logprob": reference})
    assert values[batch.sampled] == pytest.approx(expected)


def test_kl_penalty_refuses_a_signal_of_another_shape(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories([make_trajectory("a", 0, [1], [2])])
    with pytest.raises(ConfigError, match="one value per token"):
        assign(batch, ReinforcePP(kl_coefficient=0.1), {"ref_logprob": np.zeros(1)})


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_discounted_returns_equal_a_plain_loop(gamma: float) -> None:
    rng = np.random.default_rng(1)
    lengths = [3, 0, 1, 7, 0, 2]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rewards = rng.normal(size=offsets[-1])
    expected = rewards.copy()
    for first, last in pairwise(offsets):
        for turn in range(last - 2, first - 1, -1):
            expected[turn] += gamma * expected[turn + 1]
    np.testing.assert_allclose(discounted_returns(rewards, offsets, gamma), expected)
    assert discounted_returns(np.empty(0), np.zeros(1, np.int64), gamma).tolist() == []


@pytest.mark.parametrize("kl_coefficient", [0.0, 0.1])
def test_what_is_earned_beyond_the_turns_is_paid_at_the_last(
    make_trajectory: Make, kl_coefficient: float
) -> None:
    won, lost = (make_trajectory("g", place, [0, 0], [1, 2]) for place in range(2))
    won.outcome_reward, lost.outcome_reward = 1.0, 0.0
    batch = Batch.from_trajectories([won, lost])
    signals = {"ref_logprob": batch.logprobs}
    method = ReinforcePP(kl_coefficient=kl_coefficient)
    values = method(batch, None, signals)
    per_token = standardised([1, 1, 1, 0, 0, 0])
    if kl_coefficient:
        assert values[batch.sampled] == pytest.approx(per_token)
    else:
        assert values == pytest.approx(per_token[[0, 1, 3, 4]])
    assert [row["return_from_here"] for row in method.explain(batch, None, signals)[:2]] == [1, 1]
