"""What one pack adds to the loss of its minibatch, and to the figures reported about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from agentrl.config import LearnerConfig
from agentrl.learner.logprobs import Scores
from agentrl.learner.losses import importance_weights, kl_divergence, ppo_clip


@dataclass(frozen=True, slots=True, eq=False)
class TokenInputs:
    """What the objective needs about each token besides its scores, shape [tokens] each."""

    weights: torch.Tensor
    """Of the token in the minibatch's loss; see `losses.aggregation_weights`."""
    advantages: torch.Tensor
    rollout_logprobs: torch.Tensor
    old_logprobs: torch.Tensor | None = None
    """None: the current log-probabilities are the old ones."""
    reference_logprobs: torch.Tensor | None = None


@dataclass(slots=True)
class Figures:
    """Sums over the tokens of an update; nothing is moved off the device before `report`."""

    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    gaps: list[torch.Tensor] = field(default_factory=list)
    tokens: int = 0

    def add(self, **values: torch.Tensor) -> None:
        """Add token values (or their sums)."""
        for name, value in values.items():
            value = value.detach().double().sum()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def mean(self, name: str) -> float:
        """Return the mean over tokens of a value that was added."""
        return float(self.sums[name]) / self.tokens if name in self.sums and self.tokens else 0.0

    def total(self, name: str) -> float:
        """Return the sum of a value that was added."""
        return float(self.sums[name]) if name in self.sums else 0.0

    def report(self) -> dict[str, float]:
        """Return the figures of a policy-gradient update."""
        gaps = torch.cat(self.gaps) if self.gaps else torch.zeros(1)
        squares = self.total("importance_square")
        return {
            "kl_old": self.mean("kl_old"),
            "kl_reference": self.mean("kl_reference"),
            "clip_fraction": self.mean("clipped"),
            "entropy": self.mean("entropy"),
            "logprob_gap_mean": float(gaps.mean()),
            "logprob_gap_p99": float(gaps.kthvalue(math.ceil(0.99 * len(gaps))).values),
            "importance_ess": self.total("importance") ** 2 / (squares * self.tokens)
            if squares
            else 1.0,
        }


def policy_objective(
    scores: Scores, inputs: TokenInputs, config: LearnerConfig, figures: Figures
) -> torch.Tensor:
    """Return the pack's share of the loss: PPO-clip with TIS, KL to the reference, entropy."""
    logprobs = scores.logprobs
    old = inputs.old_logprobs if inputs.old_logprobs is not None else logprobs.detach()
    losses, is_clipped = ppo_clip(
        logprobs,
        old,
        inputs.advantages,
        clip_low=config.clip_low,
        clip_high=config.clip_high,
        dual_clip=config.dual_clip,
    )
    if config.importance_cap is not None:
        losses = losses * importance_weights(old, inputs.rollout_logprobs, config.importance_cap)
    if config.kl == "loss" and inputs.reference_logprobs is not None:
        divergence = kl_divergence(logprobs, inputs.reference_logprobs, config.kl_estimator)
        losses = losses + config.kl_coefficient * divergence
    if config.entropy_coefficient:
        losses = losses - config.entropy_coefficient * scores.entropies
    loss = (inputs.weights * losses).sum()
    _record(scores, inputs, old, is_clipped, loss, figures)
    return loss


@torch.no_grad()
def _record(
    scores: Scores,
    inputs: TokenInputs,
    old: torch.Tensor,
    is_clipped: torch.Tensor,
    loss: torch.Tensor,
    figures: Figures,
) -> None:
    untruncated = importance_weights(old, inputs.rollout_logprobs, None)
    figures.tokens += len(old)
    figures.gaps.append((old - inputs.rollout_logprobs).abs())
    figures.add(
        loss=loss,
        # From old to new: the samples come from the old policy.
        kl_old=kl_divergence(old, scores.logprobs, "k3"),
        clipped=is_clipped,
        entropy=scores.entropies,
        importance=untruncated,
        importance_square=untruncated.square(),
    )
    if inputs.reference_logprobs is not None:
        figures.add(kl_reference=kl_divergence(scores.logprobs, inputs.reference_logprobs, "k3"))


def cloning_objective(scores: Scores, weights: torch.Tensor, figures: Figures) -> torch.Tensor:
    """Return the pack's share of the behaviour-cloning loss: weighted cross-entropy."""
    loss = -(weights * scores.logprobs).sum()
    figures.tokens += len(weights)
    figures.add(loss=loss, entropy=scores.entropies, nll=-scores.logprobs)
    return loss
