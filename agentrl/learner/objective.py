"""What one pack adds to the loss of its minibatch, and to the figures reported about it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from agentrl.config import LearnerConfig
from agentrl.learner.entropy_smoothing import Corridor
from agentrl.learner.figures import Figures
from agentrl.learner.importance import (
    importance_ratios,
    importance_weights,
    uses_sequence_ratios,
)
from agentrl.learner.logprobs import Scores
from agentrl.learner.losses import Clipped, cispo, gspo, kl_cov, kl_divergence, ppo_clip


@dataclass(frozen=True, slots=True, eq=False)
class TokenInputs:
    """What the objective needs about each token besides its scores, shape [tokens] each."""

    weights: torch.Tensor
    """Of the token in the minibatch's loss; see `aggregation`."""
    advantages: torch.Tensor
    rollout_logprobs: torch.Tensor
    old_logprobs: torch.Tensor | None = None
    """None: the current log-probabilities are the old ones."""
    reference_logprobs: torch.Tensor | None = None
    lengths: torch.Tensor | None = None
    """Tokens of each sequence, where whole sequences matter. Shape [sequences]."""
    picked: torch.Tensor | None = None
    """Tokens of high covariance that are muted or held."""
    entropy_weights: torch.Tensor | None = None
    """Of the token in the mean that entropy smoothing takes."""


@dataclass(frozen=True, slots=True)
class MinibatchInputs:
    """What holds for all packs of a minibatch."""

    clip_low: float
    clip_high: float
    has_moved: bool
    """Whether the old log-probabilities are those of other weights than the current ones."""
    corridor: Corridor | None = None
    """Of entropy smoothing; None: off."""


def policy_objective(
    scores: Scores,
    inputs: TokenInputs,
    minibatch: MinibatchInputs,
    config: LearnerConfig,
    figures: Figures,
) -> torch.Tensor:
    """Return the pack's share of the loss: policy loss, importance weights, KL, entropy."""
    logprobs = scores.logprobs
    old = inputs.old_logprobs if inputs.old_logprobs is not None else logprobs.detach()
    losses, is_clipped = policy_losses(logprobs, old, inputs, minibatch, config)
    if config.importance != "none":
        lengths = inputs.lengths if uses_sequence_ratios(config) else None
        ratios = importance_ratios(old, inputs.rollout_logprobs, lengths)
        weights = importance_weights(ratios, config)
        losses = losses * weights
        figures.add(importance_cut=weights != ratios)
    if config.kl == "loss" and inputs.reference_logprobs is not None:
        divergence = kl_divergence(logprobs, inputs.reference_logprobs, config.kl_estimator)
        losses = losses + config.kl_coefficient * divergence
    if config.entropy_coefficient:
        losses = losses - config.entropy_coefficient * scores.entropies
    loss = (inputs.weights * losses).sum()
    if minibatch.corridor is not None and inputs.entropy_weights is not None:
        smoothed = minibatch.corridor.losses(scores.entropies)
        loss = loss + (inputs.entropy_weights * smoothed).sum()
    _record(scores, inputs, minibatch, old, figures)
    figures.add(loss=loss, clipped=is_clipped)
    return loss


def policy_losses(
    logprobs: torch.Tensor,
    old: torch.Tensor,
    inputs: TokenInputs,
    minibatch: MinibatchInputs,
    config: LearnerConfig,
) -> Clipped:
    """Return the policy loss of each token, as `config.loss` and `config.covariance` say."""
    low, high = minibatch.clip_low, minibatch.clip_high
    advantages = inputs.advantages
    if config.loss == "gspo":
        # Without old log-probabilities every ratio is 1, whatever belongs to a sequence.
        lengths = torch.ones_like(logprobs, dtype=torch.long)
        lengths = inputs.lengths if inputs.lengths is not None else lengths
        return gspo(logprobs, old, advantages, lengths, clip_low=low, clip_high=high)
    if config.loss == "cispo":
        return cispo(logprobs, old, advantages, clip_low=low, clip_high=high)
    if config.covariance == "kl" and inputs.picked is not None:
        # Of unmoved weights the gap is 0, but rounding would give its absolute value a slope.
        penalty = config.covariance_penalty if minibatch.has_moved else 0.0
        return kl_cov(logprobs, old, advantages, inputs.picked, penalty=penalty)
    clipped = ppo_clip(
        logprobs, old, advantages, clip_low=low, clip_high=high, dual_clip=config.dual_clip
    )
    if inputs.picked is None:
        return clipped
    return Clipped(torch.where(inputs.picked, 0.0, clipped.losses), clipped.is_clipped)


@torch.no_grad()
def _record(
    scores: Scores,
    inputs: TokenInputs,
    minibatch: MinibatchInputs,
    old: torch.Tensor,
    figures: Figures,
) -> None:
    figures.tokens += len(old)
    figures.add(
        # From old to new: the samples come from the old policy.
        kl_old=kl_divergence(old, scores.logprobs, "k3"),
        entropy=scores.entropies,
    )
    if inputs.reference_logprobs is not None:
        figures.add(kl_reference=kl_divergence(scores.logprobs, inputs.reference_logprobs, "k3"))
    if minibatch.corridor is not None and inputs.entropy_weights is not None:
        penalties = minibatch.corridor.penalties(scores.entropies)
        figures.add(
            turn_entropy=inputs.entropy_weights * scores.entropies,
            smoothing_penalty=inputs.entropy_weights * penalties,
        )


def cloning_objective(scores: Scores, weights: torch.Tensor, figures: Figures) -> torch.Tensor:
    """Return the pack's share of the behaviour-cloning loss: weighted cross-entropy."""
    loss = -(weights * scores.logprobs).sum()
    figures.tokens += len(weights)
    figures.add(loss=loss, entropy=scores.entropies, nll=-scores.logprobs)
    return loss
