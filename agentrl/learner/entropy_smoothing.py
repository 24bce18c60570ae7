"""An entropy bonus held in a corridor around the entropies of the updates so far (EPO).

    L       = L_policy - weight (L_H - beta_k L_smooth)
    L_H     = mean over tokens of a turn, then turns, then trajectories, of H
    L_smooth = the same mean of penalty (relu(low Hbar - H) + relu(H - high Hbar));  0 at k = 0
    beta_k  = 1 + exp(-decay k / floor(K / 2))           update k of K
    Hbar    = mean of L_H over the updates before

Gradients flow through H in both terms.

Source: Xu et al. 2025, EPO, arXiv 2509.22576. The authors' code differs: a constant
penalty, without gradient, on late steps only. Which form the paper's figures were made with is not
verified; this is the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from agentrl.config import EntropySmoothingConfig
from agentrl.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Corridor:
    """What holds during one update."""

    config: EntropySmoothingConfig
    centre: float | None
    """Hbar; None in the first update."""
    beta: float

    def penalties(self, entropies: torch.Tensor) -> torch.Tensor:
        """Return how far each token is outside, times the penalty's weight, shape [tokens]."""
        if self.centre is None:
            return torch.zeros_like(entropies)
        below = (self.config.low * self.centre - entropies).relu()
        above = (entropies - self.config.high * self.centre).relu()
        return self.config.penalty * (below + above)

    def losses(self, entropies: torch.Tensor) -> torch.Tensor:
        """Return what each token adds to the loss, before it is averaged, shape [tokens]."""
        return -self.config.weight * (entropies - self.beta * self.penalties(entropies))


@dataclass(slots=True)
class EntropyHistory:
    """The mean entropies of the updates so far."""

    config: EntropySmoothingConfig
    updates: int
    """Updates of the whole run: K."""
    values: list[float] = field(default_factory=list)

    def corridor(self) -> Corridor:
        """Return what holds during the next update."""
        past = len(self.values)
        centre = math.fsum(self.values) / past if past else None
        return Corridor(self.config, centre, smoothing_share(past, self.updates, self.config.decay))

    def append(self, entropy: float) -> None:
        """Take in the mean entropy of an update."""
        if math.isfinite(entropy):
            self.values.append(entropy)

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a learner's state.

        Raises:
            CheckpointError: The state was saved without a history.
        """
        if "entropy_history" not in state:
            raise CheckpointError(
                "the checkpoint holds no history of entropies: it was written without "
                "learner.entropy_smoothing; start a new run from its policy/ directory"
            )
        self.values = [float(value) for value in state["entropy_history"]]


def smoothing_share(update: int, updates: int, decay: float) -> float:
    """Return beta_k: 2 at first, near 1 at the end.

    Args:
        update: Updates done so far: k.
        updates: Updates of the whole run: K.
        decay: g.
    """
    return 1 + math.exp(-decay * update / max(updates // 2, 1))
