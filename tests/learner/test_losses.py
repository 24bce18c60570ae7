"""Every formula against numbers worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.learner.losses import (
    aggregation_weights,
    importance_weights,
    kl_divergence,
    kl_rewards,
    ppo_clip,
    turn_sums,
)
from agentrl.trajectory import Outcome, Trajectory, Turn


def clip(ratio: float, advantage: float, *, high: float = 0.2, dual: float | None = 3.0) -> tuple:
    losses, is_clipped = ppo_clip(
        torch.tensor([math.log(ratio)]),
        torch.zeros(1),
        torch.tensor([advantage]),
        clip_low=0.2,
        clip_high=high,
        dual_clip=dual,
    )
    return round(float(losses), 5), bool(is_clipped)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "is_clipped"),
    [
        (1.0, 2.0, -2.0, False),
        (1.1, 2.0, -2.2, False),
        (1.5, 2.0, -2.4, True),  # no more than 1.2 is earned
        (0.5, 2.0, -1.0, False),  # worse than the clip: the plain loss stays
        (0.5, -2.0, 1.6, True),
        (1.5, -2.0, 3.0, False),
        (5.0, -2.0, 6.0, True),  # dual clip: 3 times the advantage, not 5
        (5.0, 0.0, 0.0, False),
    ],
)
def test_ppo_clip(ratio: float, advantage: float, loss: float, is_clipped: bool) -> None:
    assert clip(ratio, advantage) == (loss, is_clipped)


def test_clip_higher_widens_only_the_upper_side() -> None:
    assert clip(1.5, 1.0, high=0.28) == (-1.28, True)
    assert clip(0.5, -1.0, high=0.28) == (0.8, True)


def test_dual_clip_can_be_off() -> None:
    assert clip(5.0, -2.0, dual=None) == (10.0, False)


def test_gradient_vanishes_where_clipped() -> None:
    logprobs = torch.log(torch.tensor([1.1, 1.5, 0.5, 5.0])).requires_grad_()
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0])
    losses, _ = ppo_clip(
        logprobs, torch.zeros(4), advantages, clip_low=0.2, clip_high=0.2, dual_clip=3.0
    )
    losses.sum().backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([-1.1, 0.0, 0.0, 0.0]))


def test_ratios_never_overflow() -> None:
    losses, _ = ppo_clip(
        torch.tensor([0.0, -400.0]),
        torch.tensor([-400.0, 0.0]),
        torch.tensor([-1.0, -1.0]),
        clip_low=0.2,
        clip_high=0.2,
        dual_clip=None,
    )
    assert torch.isfinite(losses).all()


def test_importance_weights_truncate_and_detach() -> None:
    old = torch.log(torch.tensor([0.5, 0.4, 0.1])).requires_grad_()
    rollout = torch.log(torch.tensor([0.5, 0.1, 0.4]))
    weights = importance_weights(old, rollout, 2.0)
    torch.testing.assert_close(weights, torch.tensor([1.0, 2.0, 0.25]))
    assert not weights.requires_grad
    torch.testing.assert_close(
        importance_weights(old, rollout, None), torch.tensor([1.0, 4.0, 0.25])
    )


@pytest.mark.parametrize(
    ("estimator", "values"),
    [
        ("k1", [math.log(2), -math.log(2)]),
        ("k2", [0.2402265, 0.2402265]),
        ("k3", [0.5 - 1 + 0.6931472, 2 - 1 - 0.6931472]),
    ],
)
def test_kl_estimators(estimator: str, values: list[float]) -> None:
    logprobs, reference = torch.log(torch.tensor([0.4, 0.2])), torch.log(torch.tensor([0.2, 0.4]))
    found = kl_divergence(logprobs, reference, estimator)  # type: ignore[arg-type]
    torch.testing.assert_close(found, torch.tensor(values), rtol=1e-5, atol=1e-6)


def test_k3_is_bounded() -> None:
    assert float(kl_divergence(torch.tensor([-100.0]), torch.tensor([0.0]), "k3")) == 10.0
    assert float(kl_divergence(torch.tensor([0.0]), torch.tensor([-100.0]), "k3")) == 10.0


def two_trajectories() -> Batch:
    """3 and 1 sampled tokens, in turns of prompt 1."""

    def turn(sampled: int) -> Turn:
        return Turn(
            "",
            "",
            prompt_ids=np.zeros(1, np.int32),
            response_ids=np.ones(sampled, np.int32),
            logprobs=np.zeros(sampled, np.float32),
        )

    return Batch.from_trajectories(
        [
            Trajectory("a", "g", "t", [turn(2), turn(1)], Outcome.SUCCESS),
            Trajectory("b", "g", "t", [turn(1)], Outcome.FAILURE),
        ]
    )


@pytest.mark.parametrize(
    ("mode", "weights"),
    [
        ("token-mean", [1 / 4, 1 / 4, 1 / 4, 1 / 4]),
        ("seq-mean-token-mean", [1 / 6, 1 / 6, 1 / 6, 1 / 2]),
        ("seq-mean-token-sum", [1 / 2, 1 / 2, 1 / 2, 1 / 2]),
        ("seq-mean-token-sum-norm", [1 / 20, 1 / 20, 1 / 20, 1 / 20]),
    ],
)
def test_aggregation_modes(mode: str, weights: list[float]) -> None:
    batch = two_trajectories()
    found = aggregation_weights(batch, batch.sampled, mode, norm_length=10)  # type: ignore[arg-type]
    np.testing.assert_allclose(found[batch.sampled], weights, rtol=1e-6)
    assert not found[~batch.sampled].any()


def test_a_trajectory_without_counted_tokens_is_not_a_sequence() -> None:
    batch = two_trajectories()
    counted = batch.sampled.copy()
    counted[-1] = False
    found = aggregation_weights(batch, counted, "seq-mean-token-mean", norm_length=1)
    np.testing.assert_allclose(found[counted], [1 / 3] * 3, rtol=1e-6)


def test_nothing_counted_gives_no_weight(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(2)
    for mode in ("token-mean", "seq-mean-token-mean"):
        found = aggregation_weights(
            batch,
            np.zeros(batch.num_tokens, np.bool_),
            mode,
            norm_length=1,  # type: ignore[arg-type]
        )
        assert not found.any()
        assert np.isfinite(found).all()


def test_kl_rewards_and_turn_sums() -> None:
    batch = two_trajectories()
    old, reference = np.zeros(batch.num_tokens), np.zeros(batch.num_tokens)
    old[batch.sampled] = [-1.0, -2.0, -3.0, -4.0]
    reference[batch.sampled] = [-1.5, -2.0, -1.0, -5.0]
    rewards = kl_rewards(old, reference, coefficient=0.1)
    np.testing.assert_allclose(rewards[batch.sampled], [-0.05, 0.0, 0.2, -0.1])
    np.testing.assert_allclose(turn_sums(batch, rewards), [-0.05, 0.2, -0.1])
    assert not rewards[~batch.sampled].any()
