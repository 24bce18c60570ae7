"""OPRL (iStar): an implicit step reward from a process reward model, next to the outcome.

    r_t = beta * (log p_prm(a_t | history) - log p_old(a_t | history))     summed over a_t's tokens
    s_t = r_t / (max over the batch of |r| + eps)                          with scale "max_abs"
    A_t = A_host + alpha * norm(s)_t            norm over all turns of all episodes of the group

Source: Liu et al., Agentic Reinforcement Learning with Implicit Step Rewards, arXiv 2509.19199,
section 3 (first called Online Process Reward Learning). The estimator that stands before decides
norm, as it does in the authors' code:

    grpo, dr_mas             (s - mean) / (std + eps), sample deviation
    dr_grpo                  s - mean
    rloo                     n / (n - 1) * (s - mean), n turns in the group; also any other host
    reinforce_pp_baseline    s - mean, then whitened over the sampled tokens of the batch

All turns enter the baseline, as the formula says; the released code lets in only the first one of
each episode. beta cancels with `max_abs` (the code's default) except through eps. The model that
the log-ratios come from is trained by `agentrl.credit.preferences`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import Advantages, CreditMethod, Level, Stage, Why
from agentrl.credit.checks import check_positive
from agentrl.credit.preferences import (
    PreferenceLoss,
    preference_accuracy,
    preference_loss,
    preference_pairs,
    trajectory_scores,
)
from agentrl.credit.signals import check_choice, refuse_missing, signal_per_turn
from agentrl.credit.statistics import centred, group_statistics, token_weights, whitened
from agentrl.trajectory import Signals

__all__ = [
    "Oprl",
    "PreferenceLoss",
    "preference_accuracy",
    "preference_loss",
    "preference_pairs",
    "trajectory_scores",
]

Normaliser = Literal["host", "std", "mean", "leave_one_out", "whiten"]

_NORM_OF_HOST: dict[str, Normaliser] = {
    "grpo": "std",
    "dr_mas": "std",
    "dr_grpo": "mean",
    "reinforce_pp_baseline": "whiten",
}


@dataclass(frozen=True, slots=True)
class Oprl:
    """Online process reward learning: the credit part."""

    beta: float = 0.05
    """Scales log-ratios to step rewards."""
    alpha: float = 1.0
    """Weight of the step advantage."""
    scale: Literal["max_abs", "none"] = "max_abs"
    """Whether step rewards are divided by the batch's largest magnitude."""
    normaliser: Normaliser = "host"
    """How step rewards become step advantages; `host`: see the table above."""
    invalid_action_penalty: float = 0.0
    """Subtracted from the (scaled) step reward of a turn that was not valid; 0.1 in the published
    WebShop runs."""
    eps: float = 1e-6
    """Added to the largest magnitude and to the deviation."""

    name: ClassVar[str] = "oprl"
    stage: ClassVar[Stage] = "refine"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset({"prm_log_ratio"})

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_positive(self.name, "beta", self.beta)
        check_positive(self.name, "alpha", self.alpha, or_zero=True)
        check_positive(self.name, "eps", self.eps)
        check_positive(
            self.name, "invalid_action_penalty", self.invalid_action_penalty, or_zero=True
        )
        check_choice(self.name, "scale", self.scale, ("max_abs", "none"))
        check_choice(self.name, "normaliser", self.normaliser, get_args(Normaliser))

    def for_host(self, host: CreditMethod) -> Oprl:
        """Return the method with the normaliser that suits the estimator before it."""
        if self.normaliser != "host":
            return self
        return dataclasses.replace(self, normaliser=_NORM_OF_HOST.get(host.name, "leave_one_out"))

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn."""
        assert advantages is not None
        return advantages + self.alpha * self._normalised(batch, self._scaled(batch, signals))

    def metrics(self, batch: Batch, signals: Signals) -> dict[str, float]:
        """Return the mean magnitude of log-ratios, and of step advantages with their weight.

        Log-ratios near 0 say that the process reward model has learned nothing yet.
        """
        step = self.alpha * self._normalised(batch, self._scaled(batch, signals))
        return {
            "log_ratio": float(np.abs(signals["prm_log_ratio"]).mean()) if step.size else 0.0,
            "step_advantage": float(np.abs(step).mean()) if step.size else 0.0,
        }

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return each turn's log-ratio, step reward and the two parts of its advantage."""
        assert advantages is not None
        scaled = self._scaled(batch, signals)
        columns = {
            "prm_log_ratio": signals["prm_log_ratio"],
            "step_reward": scaled,
            "outcome_advantage": advantages,
            "step_advantage": self.alpha * self._normalised(batch, scaled),
        }
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, map(float, row), strict=True)) for row in rows]

    def _scaled(self, batch: Batch, signals: Signals) -> Floats:
        """Return step rewards, shape [turns]."""
        ratios = signal_per_turn(self.name, "prm_log_ratio", batch, signals)
        refuse_missing(
            self.name,
            "a finite value of the signal 'prm_log_ratio'",
            batch,
            ~np.isfinite(ratios),
            "give the turn's log-ratio under the process reward model, or leave oprl out",
        )
        rewards = self.beta * ratios
        if self.scale == "max_abs":
            rewards = rewards / (np.abs(rewards).max(initial=0.0) + self.eps)
        return rewards - self.invalid_action_penalty * ~batch.valid

    def _normalised(self, batch: Batch, rewards: Floats) -> Floats:
        """Return step advantages; the only turn of a group has nothing to be compared with: 0."""
        labels = batch.group_of_trajectory()[batch.trajectory_of_turn()]
        _, std, size = group_statistics(rewards, labels)
        deviations = np.where(size > 1, centred(rewards, labels), 0.0)
        match self.normaliser:
            case "std":
                return deviations / (std + self.eps)
            case "mean":
                return deviations
            case "whiten":
                return whitened(deviations, token_weights(batch))
            case _:
                others: Floats = deviations * size / np.maximum(size - 1, 1)
                return others
