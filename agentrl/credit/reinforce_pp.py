"""REINFORCE++: reward-to-go, whitened over all sampled tokens of the batch; no groups.

    G_t = r_t + gamma * G_{t+1}            within a trajectory, over turns
    A   = (G - mean(G)) / sqrt(var(G) + eps)   over the sampled tokens of the whole batch

Source: Hu, REINFORCE++, arXiv 2501.03262, section 3. A turn's reward lies on its last token, so
every token of a turn has the same reward-to-go. With `kl_coefficient` the paper's token penalty
-kl_coefficient * (log pi_old - log pi_ref) is part of the reward and values differ per token;
the discount acts where a turn ends, never inside a turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_positive, check_unit, signal_per_token
from agentrl.credit.returns import discounted_returns, paid_rewards
from agentrl.credit.statistics import token_weights, whitened
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class ReinforcePP:
    """REINFORCE with batch-wide whitening."""

    gamma: float = 1.0
    """Discount per turn."""
    kl_coefficient: float = 0.0
    """Weight of the per-token KL penalty in the reward; above 0 it needs `ref_logprob`."""
    eps: float = 1e-8
    """Added to the variance."""

    name: ClassVar[str] = "reinforce_pp"
    stage: ClassVar[Stage] = "outcome"

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_unit(self.name, "gamma", self.gamma)
        check_positive(self.name, "eps", self.eps)
        check_positive(self.name, "kl_coefficient", self.kl_coefficient, or_zero=True)

    @property
    def level(self) -> Level:
        """Per token with the KL penalty, else per turn."""
        return "token" if self.kl_coefficient else "turn"

    @property
    def needs(self) -> frozenset[str]:
        """The reference's log-probabilities, with the KL penalty."""
        return frozenset({"ref_logprob"}) if self.kl_coefficient else frozenset()

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn, or per token with the KL penalty."""
        if not self.kl_coefficient:
            to_go = discounted_returns(paid_rewards(batch), batch.turn_offsets, self.gamma)
            return whitened(to_go, token_weights(batch), eps=self.eps)
        penalty = self._penalty(batch, signals)
        until_turn_end = _suffix_sums(penalty, batch)
        per_turn = paid_rewards(batch) + _turn_sums(penalty, batch)
        after = discounted_returns(per_turn, batch.turn_offsets, self.gamma) - _turn_sums(
            penalty, batch
        )
        to_go = until_turn_end + after[batch.turn_of_token()]
        sampled = batch.sampled.astype(np.float64)
        return whitened(to_go, sampled, eps=self.eps) * sampled

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return each turn's reward and what was earned from it on, without the KL penalty."""
        paid = paid_rewards(batch)
        to_go = discounted_returns(paid, batch.turn_offsets, self.gamma)
        rows = zip(paid.tolist(), to_go.tolist(), strict=True)
        return [{"reward": reward, "return_from_here": earned} for reward, earned in rows]

    def _penalty(self, batch: Batch, signals: Signals) -> Floats:
        reference = signal_per_token(self.name, "ref_logprob", batch, signals)
        gap = batch.logprobs.astype(np.float64) - reference
        return np.where(batch.sampled, -self.kl_coefficient * gap, 0.0)


def _turn_sums(values: Floats, batch: Batch) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.diff(sums[batch.token_offsets])


def _suffix_sums(values: Floats, batch: Batch) -> Floats:
    """Return, for each token, the sum from it to the end of its turn."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = sums[batch.token_offsets[1:]][batch.turn_of_token()]
    suffix: Floats = ends - sums[:-1]
    return suffix
