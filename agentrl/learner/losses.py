"""Losses over flat per-token tensors; every function is pure.

    rho = exp(logp - logp_old)
    L   = max(-A rho, -A clip(rho, 1 - low, 1 + high))        PPO; clip-higher: high > low (DAPO)
    L   = min(L, -A c)  where A < 0                           dual clip
    w   = min(exp(logp_old - logp_rollout), C)                token-level TIS, multiplies L

A loss over a minibatch is sum_i weight_i * L_i with `aggregation_weights` computed once over the
whole minibatch, so that it does not matter how tokens are cut into packs.

Sources: Schulman et al. 2017 (PPO); Ye et al. 2020 (dual clip); Yu et al. 2025, arXiv 2503.14476
(clip-higher, token mean); Schulman, "Approximating KL divergence" (k1, k2, k3).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from agentrl.batch import Batch, Bools, Floats

Aggregation = Literal[
    "token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"
]
KlEstimator = Literal["k1", "k2", "k3"]

_MAX_EXPONENT = 20.0
_MAX_K3 = 10.0


class Clipped(NamedTuple):
    """PPO's token losses and which of them the clip decided, shape [tokens] each."""

    losses: torch.Tensor
    is_clipped: torch.Tensor


def ppo_clip(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
) -> Clipped:
    """Return the clipped policy-gradient loss of each token.

    Args:
        logprobs: Under the weights being trained, shape [tokens].
        old_logprobs: Under the weights before the update, shape [tokens].
        advantages: Shape [tokens].
        clip_low: Ratios below 1 - clip_low earn nothing more.
        clip_high: Ratios above 1 + clip_high earn nothing more.
        dual_clip: Bound c on the loss where the advantage is negative; None: off.
    """
    ratio = (logprobs - old_logprobs).clamp(-_MAX_EXPONENT, _MAX_EXPONENT).exp()
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_low, 1 + clip_high)
    losses = torch.maximum(plain, clipped)
    is_clipped = clipped > plain
    if dual_clip is not None:
        bound = -advantages * dual_clip
        is_bounded = (advantages < 0) & (losses > bound)
        losses = torch.where(is_bounded, bound, losses)
        is_clipped = is_clipped | is_bounded
    return Clipped(losses, is_clipped)


def importance_weights(
    old_logprobs: torch.Tensor, rollout_logprobs: torch.Tensor, cap: float | None
) -> torch.Tensor:
    """Return token-level truncated importance weights, detached, shape [tokens].

    Args:
        old_logprobs: The learner's, under the weights before the update.
        rollout_logprobs: The engine's, as drawn.
        cap: Upper bound; None leaves the weights untruncated.
    """
    gap = (old_logprobs - rollout_logprobs).detach()
    weights = gap.clamp(-_MAX_EXPONENT, _MAX_EXPONENT).exp()
    return weights if cap is None else weights.clamp(max=cap)


def kl_divergence(
    logprobs: torch.Tensor, reference_logprobs: torch.Tensor, estimator: KlEstimator
) -> torch.Tensor:
    """Return the estimate of KL(policy || reference) at each token, shape [tokens].

    With d = logp - logp_ref: k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d (exponent within 20, value
    within 10).
    """
    gap = logprobs - reference_logprobs
    if estimator == "k1":
        return gap
    if estimator == "k2":
        return gap.square() / 2
    exponent = (-gap).clamp(-_MAX_EXPONENT, _MAX_EXPONENT)
    return (exponent.exp() - 1 - exponent).clamp(-_MAX_K3, _MAX_K3)


def kl_rewards(
    old_logprobs: npt.NDArray[np.floating],
    reference_logprobs: npt.NDArray[np.floating],
    *,
    coefficient: float,
    estimator: KlEstimator = "k1",
) -> Floats:
    """Return the token rewards that keep a policy near its reference: -coefficient * KL.

    Args:
        old_logprobs: Of the policy that is about to be updated, 0 off sampled tokens, [tokens].
        reference_logprobs: Likewise, of the reference.
        coefficient: Weight of the penalty.
        estimator: See `kl_divergence`; k1 is the usual one for rewards.

    Returns:
        Shape [tokens]; see `turn_sums` to add them to the rewards of turns.
    """
    divergence = kl_divergence(
        torch.from_numpy(np.asarray(old_logprobs, np.float64)),
        torch.from_numpy(np.asarray(reference_logprobs, np.float64)),
        estimator,
    )
    return -coefficient * divergence.numpy()


def turn_sums(batch: Batch, token_values: npt.NDArray[np.floating]) -> Floats:
    """Return the sum of token values in each turn, shape [turns]."""
    turns = batch.turn_of_token()
    sums = np.bincount(turns, weights=token_values, minlength=batch.num_turns)
    return sums.astype(np.float64)


def aggregation_weights(
    batch: Batch, counted: Bools, mode: Aggregation, *, norm_length: int
) -> npt.NDArray[np.float32]:
    """Return the weight of each token in the minibatch's loss, shape [tokens].

    A sequence is a trajectory. Counted tokens whose loss is 0 still weigh in the denominators.

    Args:
        batch: The batch.
        counted: The minibatch's decision tokens; all others get weight 0. Shape [tokens].
        mode: How token losses become one number.
        norm_length: The constant length of `seq-mean-token-sum-norm`.
    """
    total = max(int(counted.sum()), 1)
    if mode == "token-mean":
        return (counted / total).astype(np.float32)
    trajectories = batch.trajectory_of_turn()[batch.turn_of_token()]
    lengths = np.bincount(trajectories[counted], minlength=batch.num_trajectories)
    weights = counted / max(int((lengths > 0).sum()), 1)
    if mode == "seq-mean-token-mean":
        weights = weights / np.maximum(lengths, 1)[trajectories]
    elif mode == "seq-mean-token-sum-norm":
        weights = weights / norm_length
    return weights.astype(np.float32)
