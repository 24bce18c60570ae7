"""Whitening: zero mean and unit variance over all sampled tokens of the batch.

    A <- (A - mean(A)) / sqrt(var(A) + eps)

What PPO implementations do to GAE advantages; a turn's value counts once per sampled token and
the variance divides by n - 1.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_positive
from agentrl.credit.levels import ValueLevel, level_of
from agentrl.credit.statistics import token_weights, weighted_deviations, whitened
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class Whiten:
    """Batch-wide standardisation, last in a list."""

    eps: float = 1e-8
    """Added to the variance."""
    level: Level = field(default="same", compare=False)
    """What the values are of. A list knows and says so; alone, their number decides."""

    name: ClassVar[str] = "whiten"
    stage: ClassVar[Stage] = "normalise"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_positive(self.name, "eps", self.eps)

    def for_level(self, level: Literal["turn", "token"]) -> Whiten:
        """Return the method for values of this level."""
        return dataclasses.replace(self, level=level)

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return the advantages standardised, at the level they came in."""
        assert advantages is not None
        level, weights = self._weights(batch, advantages)
        scaled = whitened(advantages, weights, eps=self.eps)
        return scaled if level == "turn" else scaled * weights

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return the mean and deviation that were taken out, the same for every turn."""
        assert advantages is not None
        _, weights = self._weights(batch, advantages)
        if not weights.any():
            return [{} for _ in range(batch.num_turns)]
        deviations, variance = weighted_deviations(advantages, weights)
        mean, std = float(advantages[0] - deviations[0]), float(np.sqrt(variance + self.eps))
        return [{"mean": mean, "std": std} for _ in range(batch.num_turns)]

    def _weights(self, batch: Batch, advantages: Advantages) -> tuple[ValueLevel, Floats]:
        """Return the level of the advantages and how often each of them counts."""
        level = level_of(batch, advantages) if self.level == "same" else self.level
        if level == "turn":
            return "turn", token_weights(batch)
        return "token", batch.sampled.astype(np.float64)
