"""RLOO: the return minus the mean of the other episodes of the group.

    A_i = R_i - mean_{j != i}(R_j) = G / (G - 1) * (R_i - mean(R))

Source: Ahmadian et al., Back to Basics, arXiv 2402.14740, equation 8. A group of one has no
others: its baseline is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.statistics import centred, turn_rows
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class Rloo:
    """REINFORCE with a leave-one-out baseline."""

    name: ClassVar[str] = "rloo"
    stage: ClassVar[Stage] = "outcome"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn, equal within a trajectory."""
        return self._outcome(batch)[batch.trajectory_of_turn()]

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return the return of each turn's trajectory and the mean of the others in its group."""
        labels = batch.group_of_trajectory()
        others = batch.returns - self._outcome(batch)
        count = np.bincount(labels)[labels] - 1
        columns = {"return": batch.returns, "mean_of_others": others, "others": count}
        return turn_rows(batch, columns)

    def _outcome(self, batch: Batch) -> Floats:
        labels = batch.group_of_trajectory()
        size = np.bincount(labels)[labels]
        scale = np.where(size > 1, size / np.maximum(size - 1, 1), 1.0)
        outcome: Floats = scale * centred(batch.returns, labels)
        return outcome
