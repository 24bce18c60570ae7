"""RLOO: the return minus the mean of the other episodes of the group.

    A_i = R_i - mean_{j != i}(R_j) = G / (G - 1) * (R_i - mean(R))

Source: Ahmadian et al., Back to Basics, arXiv 2402.14740, equation 8. A group of one has no
others: its baseline is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agentrl.batch import Batch
from agentrl.credit.base import Advantages, Level, Stage
from agentrl.credit.statistics import centred
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
        labels = batch.group_of_trajectory()
        size = np.bincount(labels)[labels]
        scale = np.where(size > 1, size / np.maximum(size - 1, 1), 1.0)
        outcome = scale * centred(batch.returns, labels)
        return outcome[batch.trajectory_of_turn()]
