"""GRPO: the return, standardised within the group of episodes of one task.

    A_i = (R_i - mean(R)) / (std(R) + eps)

Source: Shao et al., DeepSeekMath, arXiv 2402.03300, section 4.1.2 (outcome supervision). The
statistics run over trajectories, never over turns; a group of one has mean 0 and std 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agentrl.batch import Batch
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_ddof, check_positive
from agentrl.credit.statistics import group_statistics, turn_rows
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class Grpo:
    """Group-relative policy optimisation."""

    ddof: int = 1
    """1: sample deviation (the published code); 0: population deviation."""
    eps: float = 1e-6
    """Added to the deviation."""

    name: ClassVar[str] = "grpo"
    stage: ClassVar[Stage] = "outcome"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_ddof(self.name, self.ddof)
        check_positive(self.name, "eps", self.eps)

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn, equal within a trajectory."""
        labels = batch.group_of_trajectory()
        mean, std, _ = group_statistics(batch.returns, labels, ddof=self.ddof)
        outcome = (batch.returns - mean) / (std + self.eps)
        return outcome[batch.trajectory_of_turn()]

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return the return of each turn's trajectory and what it was compared with."""
        labels = batch.group_of_trajectory()
        mean, std, size = group_statistics(batch.returns, labels, ddof=self.ddof)
        columns = {"return": batch.returns, "mean": mean, "std": std, "compared": size}
        return turn_rows(batch, columns)
