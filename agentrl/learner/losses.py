"""Policy losses and KL terms over flat per-token tensors; every function is pure.

    rho = exp(logp - logp_old)
    PPO     L = max(-A rho, -A clip(rho, 1 - low, 1 + high));  L = min(L, -A c) where A < 0
    GSPO    the same with s = exp(mean of (logp - logp_old) over the sequence) for rho
    CISPO   L = -sg[clip(rho, 1 - low, 1 + high)] A logp
    KL-Cov  L = -A rho + k |logp - logp_old| on the tokens that were picked, -A rho on others

sg stops gradients. In GSPO each token carries s as sg[s] exp(logp - sg[logp]), so that advantages
may differ within a sequence (GSPO-token).

Sources: Schulman et al. 2017 (PPO); Ye et al. 2020 (dual clip c); Yu et al. 2025, arXiv 2503.14476
(clip-higher, token mean); Zheng et al. 2025, arXiv 2507.18071 (GSPO); MiniMax-M1, arXiv 2506.13585
(CISPO); Cui et al. 2025, arXiv 2505.22617 (KL-Cov); Schulman, "Approximating KL divergence" (k1,
k2, k3).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from agentrl.batch import Batch, Floats
from agentrl.learner.aggregation import over_sequences

KlEstimator = Literal["k1", "k2", "k3"]

MAX_EXPONENT = 20.0
_MAX_K3 = 10.0


class Clipped(NamedTuple):
    """Token losses and which of them the clip decided, shape [tokens] each."""

    losses: torch.Tensor
    is_clipped: torch.Tensor


def probability_ratio(log_ratio: torch.Tensor) -> torch.Tensor:
    """Return exp(log_ratio), its exponent held within 20."""
    return log_ratio.clamp(-MAX_EXPONENT, MAX_EXPONENT).exp()


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
    ratio = probability_ratio(logprobs - old_logprobs)
    losses, is_clipped = _pessimistic(ratio, advantages, clip_low, clip_high)
    if dual_clip is not None:
        bound = -advantages * dual_clip
        is_bounded = (advantages < 0) & (losses > bound)
        losses = torch.where(is_bounded, bound, losses)
        is_clipped = is_clipped | is_bounded
    return Clipped(losses, is_clipped)


def gspo(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    lengths: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> Clipped:
    """Return the loss of each token, clipped by the ratio of its whole sequence.

    Args:
        logprobs: Of all tokens that the policy chose in each sequence, one sequence after the
            other, under the weights being trained. Shape [tokens].
        old_logprobs: Under the weights before the update, shape [tokens].
        advantages: Shape [tokens].
        lengths: Tokens of each sequence, shape [sequences].
        clip_low: Ratios below 1 - clip_low earn nothing more.
        clip_high: Ratios above 1 + clip_high earn nothing more.
    """
    gaps = (logprobs - old_logprobs).detach()
    sequence_ratio = probability_ratio(over_sequences(gaps, lengths, "mean"))
    ratio = sequence_ratio * (logprobs - logprobs.detach()).exp()
    return _pessimistic(ratio, advantages, clip_low, clip_high)


def cispo(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> Clipped:
    """Return the loss of each token, weighted by its clipped ratio: none loses its gradient.

    Args:
        logprobs: Under the weights being trained, shape [tokens].
        old_logprobs: Under the weights before the update, shape [tokens].
        advantages: Shape [tokens].
        clip_low: The weight is at least 1 - clip_low; 1 or more: no bound.
        clip_high: The weight is at most 1 + clip_high.
    """
    ratio = probability_ratio(logprobs - old_logprobs).detach()
    weight = ratio.clamp(max(1 - clip_low, 0.0), 1 + clip_high)
    return Clipped(-weight * advantages * logprobs, weight != ratio)


def kl_cov(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    picked: torch.Tensor,
    *,
    penalty: float,
) -> Clipped:
    """Return the unclipped loss of each token, with a KL penalty on those picked.

    Args:
        logprobs: Under the weights being trained, shape [tokens].
        old_logprobs: Under the weights before the update, shape [tokens].
        advantages: Shape [tokens].
        picked: The tokens of highest covariance; see `covariance`. Shape [tokens].
        penalty: Weight k of the penalty.
    """
    gaps = logprobs - old_logprobs
    losses = -advantages * probability_ratio(gaps)
    return Clipped(
        losses + penalty * torch.where(picked, gaps.abs(), 0.0), torch.zeros_like(picked)
    )


def _pessimistic(
    ratio: torch.Tensor, advantages: torch.Tensor, clip_low: float, clip_high: float
) -> Clipped:
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_low, 1 + clip_high)
    return Clipped(torch.maximum(plain, clipped), clipped > plain)


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
    exponent = (-gap).clamp(-MAX_EXPONENT, MAX_EXPONENT)
    return (exponent.exp() - 1 - exponent).clamp(-_MAX_K3, _MAX_K3)


def kl_rewards(
    old_logprobs: npt.NDArray[np.floating],
    reference_logprobs: npt.NDArray[np.floating],
    *,
    coefficient: float,
) -> Floats:
    """Return the token rewards that keep a policy near its reference: -coefficient * log-ratio.

    That is the estimator k1 and no other: the policy gradient of k2 and k3 as rewards is not that
    of the KL, and away from the reference it points away from it.

    Args:
        old_logprobs: Of the policy that is about to be updated, 0 off sampled tokens, [tokens].
        reference_logprobs: Likewise, of the reference.
        coefficient: Weight of the penalty.

    Returns:
        Shape [tokens]; see `turn_sums` to add them to the rewards of turns.
    """
    divergence = kl_divergence(
        torch.from_numpy(np.asarray(old_logprobs, np.float64)),
        torch.from_numpy(np.asarray(reference_logprobs, np.float64)),
        "k1",
    )
    return -coefficient * divergence.numpy()


def turn_sums(batch: Batch, token_values: npt.NDArray[np.floating]) -> Floats:
    """Return the sum of token values in each turn, shape [turns]."""
    turns = batch.turn_of_token()
    sums = np.bincount(turns, weights=token_values, minlength=batch.num_turns)
    return sums.astype(np.float64)
