"""REINFORCE++-baseline: the return minus the group's mean, whitened over all sampled tokens.

    C_i = R_i - mean(R)                        within the group
    A   = (C - mean(C)) / sqrt(var(C) + eps)   over the sampled tokens of the whole batch

Source: Hu, REINFORCE++, arXiv 2501.03262, section 3 (the variant with a group baseline). Mean and
variance count a trajectory once per sampled token; the variance divides by n - 1. A group of one
has mean 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agentrl.batch import Batch
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_positive
from agentrl.credit.statistics import centred, group_statistics, token_weights, turn_rows, whitened
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class ReinforcePPBaseline:
    """REINFORCE++ with the group's mean as baseline."""

    eps: float = 1e-8
    """Added to the variance."""

    name: ClassVar[str] = "reinforce_pp_baseline"
    stage: ClassVar[Stage] = "outcome"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_positive(self.name, "eps", self.eps)

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn, equal within a trajectory."""
        outcome = centred(batch.returns, batch.group_of_trajectory())
        return whitened(outcome[batch.trajectory_of_turn()], token_weights(batch), eps=self.eps)

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return the return of each turn's trajectory and what it was compared with."""
        labels = batch.group_of_trajectory()
        mean, _, size = group_statistics(batch.returns, labels)
        return turn_rows(batch, {"return": batch.returns, "mean": mean, "compared": size})
