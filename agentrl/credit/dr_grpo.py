"""Dr. GRPO: the return minus the group's mean, with no division by the deviation.

    A_i = R_i - mean(R)

Source: Liu et al., Understanding R1-Zero-Like Training, arXiv 2503.20783, section 3.2. The other
half of the method is in the loss: sum over tokens divided by a constant length
(`learner.aggregation=seq-mean-token-sum-norm`). A group of one has mean 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agentrl.batch import Batch
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.statistics import centred, group_statistics, turn_rows
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class DrGrpo:
    """GRPO done right: centred only."""

    name: ClassVar[str] = "dr_grpo"
    stage: ClassVar[Stage] = "outcome"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn, equal within a trajectory."""
        outcome = centred(batch.returns, batch.group_of_trajectory())
        return outcome[batch.trajectory_of_turn()]

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return the return of each turn's trajectory and what it was compared with."""
        labels = batch.group_of_trajectory()
        mean, _, size = group_statistics(batch.returns, labels)
        return turn_rows(batch, {"return": batch.returns, "mean": mean, "compared": size})
