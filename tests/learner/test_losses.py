"""Every formula against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.learner.losses import (
    cispo,
    gspo,
    kl_cov,
    kl_divergence,
    kl_rewards,
    ppo_clip,
    turn_sums,
)


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


def test_gspo_worked_example() -> None:
    """Log-ratios .3, -.1, .1: the sequence's ratio is exp(.1) = 1.105171."""
    old = torch.tensor([-1.0, -2.0, -3.0])
    logprobs = (old + torch.tensor([0.3, -0.1, 0.1])).requires_grad_()
    lengths, advantages = torch.tensor([3]), torch.full((3,), -1.0)
    losses, is_clipped = gspo(logprobs, old, advantages, lengths, clip_low=0.5, clip_high=0.5)
    torch.testing.assert_close(losses.detach(), torch.full((3,), 1.105171), rtol=1e-6, atol=1e-6)
    assert not is_clipped.any()
    (gradient,) = torch.autograd.grad(losses.mean(), logprobs)
    again = logprobs.detach().requires_grad_()
    (expected,) = torch.autograd.grad((again - old).mean().exp(), again)
    torch.testing.assert_close(gradient, expected)


def test_gspo_clips_sequences_whole() -> None:
    """Ratios 1.001 and 0.9999; bounds 3e-4 and 4e-4."""
    logprobs = torch.tensor([0.003, -0.001, -0.0001, -0.0001]).requires_grad_()
    lengths = torch.tensor([2, 2])
    losses, is_clipped = gspo(
        logprobs, torch.zeros(4), torch.ones(4), lengths, clip_low=3e-4, clip_high=4e-4
    )
    assert is_clipped.tolist() == [True, True, False, False]
    torch.testing.assert_close(losses[:2].detach(), torch.full((2,), -1.0004))
    losses.sum().backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([0.0, 0.0, -0.9999, -0.9999]))


def test_gspo_takes_advantages_of_tokens() -> None:
    logprobs = torch.tensor([0.2, 0.0]).requires_grad_()
    advantages = torch.tensor([1.0, -2.0])
    losses, _ = gspo(
        logprobs, torch.zeros(2), advantages, torch.tensor([2]), clip_low=0.5, clip_high=0.5
    )
    losses.sum().backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, -math.exp(0.1) * advantages)


def test_cispo_keeps_a_gradient_where_ppo_has_none() -> None:
    """sg[clip(rho, 0, 1.28)] A logp at ratios 0.1, 1, 1.5 and 5."""
    old = torch.log(torch.tensor([0.5, 0.5, 0.4, 0.1]))
    ratio = torch.tensor([0.1, 1.0, 1.5, 5.0])
    logprobs = (old + ratio.log()).requires_grad_()
    advantages = torch.tensor([1.0, -1.0, 2.0, -3.0])
    losses, is_clipped = cispo(logprobs, old, advantages, clip_low=1.0, clip_high=0.28)
    assert is_clipped.tolist() == [False, False, True, True]
    weight = torch.tensor([0.1, 1.0, 1.28, 1.28])
    torch.testing.assert_close(losses, -weight * advantages * logprobs)
    losses.sum().backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, -weight * advantages)


def test_cispo_can_have_a_lower_bound() -> None:
    losses, is_clipped = cispo(
        torch.tensor([-3.0]), torch.zeros(1), torch.ones(1), clip_low=0.2, clip_high=0.2
    )
    assert float(losses) == pytest.approx(0.8 * 3.0)
    assert is_clipped.all()


def test_kl_cov_holds_picked_tokens_and_clips_none() -> None:
    logprobs = torch.log(torch.tensor([2.0, 2.0, 0.5])).requires_grad_()
    picked = torch.tensor([True, False, True])
    losses, is_clipped = kl_cov(logprobs, torch.zeros(3), torch.ones(3), picked, penalty=0.5)
    torch.testing.assert_close(
        losses.detach(),
        torch.tensor([-2.0 + 0.5 * math.log(2), -2.0, -0.5 + 0.5 * math.log(2)]),
    )
    assert not is_clipped.any()
    losses.sum().backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([-2.0 + 0.5, -2.0, -0.5 - 0.5]))


@pytest.mark.parametrize("logit", [0.04, 0.4, 1.4, 3.0])
def test_the_policy_gradient_of_kl_rewards_is_that_of_the_kl(logit: float) -> None:
    logits = torch.tensor([logit, 0.0], dtype=torch.float64, requires_grad=True)
    logprobs, reference = logits.log_softmax(0), torch.full((2,), 0.5, dtype=torch.float64).log()
    divergence = (logprobs.exp() * (logprobs - reference)).sum()
    (wanted,) = torch.autograd.grad(-0.1 * divergence, logits, retain_graph=True)
    paid = kl_rewards(logprobs.detach().numpy(), reference.numpy(), coefficient=0.1)
    # The expectation over both tokens of reward times gradient of the log-probability.
    expected = (logprobs.exp().detach() * torch.from_numpy(paid) * logprobs).sum()
    (found,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(found, wanted)


def test_kl_rewards_and_turn_sums(two_trajectories: Batch) -> None:
    batch = two_trajectories
    old, reference = np.zeros(batch.num_tokens), np.zeros(batch.num_tokens)
    old[batch.sampled] = [-1.0, -2.0, -3.0, -4.0]
    reference[batch.sampled] = [-1.5, -2.0, -1.0, -5.0]
    rewards = kl_rewards(old, reference, coefficient=0.1)
    np.testing.assert_allclose(rewards[batch.sampled], [-0.05, 0.0, 0.2, -0.1])
    np.testing.assert_allclose(turn_sums(batch, rewards), [-0.05, 0.2, -0.1])
    assert not rewards[~batch.sampled].any()
