"""Overlong shaping: a price that rises over the last tokens before the length limit.

    p = -factor * min(max((length - (limit - buffer)) / buffer, 0), 1)

Source: Yu et al., DAPO, arXiv 2503.14476, section 3.4 (soft overlong punishment). The length is
that of what the policy sampled, not of what it read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agentrl.batch import Batch, Floats, Ints
from agentrl.rewards.base import Stage, added_at_end, parameters_of
from agentrl.trajectory import Signals


def overlong_penalty(
    lengths: Ints, *, limit: int = 20_480, buffer: int = 4_096, factor: float = 1.0
) -> Floats:
    """Return what is added to each episode's reward: between -factor and 0.

    Args:
        lengths: Sampled tokens of each episode, shape [episodes].
        limit: The length at which the whole price is paid.
        buffer: How many tokens before it the price begins.
        factor: The whole price; not negative.

    Raises:
        ValueError: The buffer is not within the limit, or the factor is negative.
    """
    if not 0 < buffer <= limit:
        raise ValueError(f"buffer must be above 0 and at most the limit {limit}, not {buffer}")
    if not factor >= 0:
        raise ValueError(f"the price is subtracted, so it must not be negative; got {factor}")
    excess = (lengths - (limit - buffer)) / buffer
    # Adding 0 turns the -0.0 of short episodes into 0.0.
    return -factor * np.clip(excess, 0.0, 1.0) + 0.0


@dataclass(frozen=True, slots=True)
class Overlong:
    """A price for episodes near the length limit, at their last turn."""

    limit: int = 20_480
    """Sampled tokens of an episode at which the whole price is paid."""
    buffer: int = 4_096
    """How many tokens before that the price begins."""
    factor: float = 1.0
    """The whole price."""

    name: ClassVar[str] = "overlong"
    stage: ClassVar[Stage] = "price"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        with parameters_of(self.name):
            self._price(np.empty(0, np.int64))

    def __call__(self, batch: Batch, signals: Signals) -> Batch:
        """Return the batch with the price taken off."""
        owner = batch.trajectory_of_turn()
        sampled = batch.sampled_per_turn()
        lengths = np.bincount(owner, weights=sampled, minlength=batch.num_trajectories)
        return added_at_end(batch, self._price(lengths.astype(np.int64)))

    def _price(self, lengths: Ints) -> Floats:
        return overlong_penalty(lengths, limit=self.limit, buffer=self.buffer, factor=self.factor)
