"""The price of an invalid action: what is subtracted from the reward of a turn that was not valid.

Rollouts keep rewards as the environment paid them; this is applied to a batch before credit:

    r'_t = r_t - amount * [turn t is invalid]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agentrl.batch import Batch, Bools, Floats
from agentrl.rewards.base import Stage, added, parameters_of
from agentrl.trajectory import Signals


def invalid_action_penalty(rewards: Floats, valid: Bools, amount: float) -> Floats:
    """Return the rewards less `amount` for each invalid turn.

    Args:
        rewards: As the environment paid them, shape [turns].
        valid: Whether each turn was valid, shape [turns].
        amount: What an invalid turn costs; not negative.

    Raises:
        ValueError: The shapes differ, or the amount is negative.
    """
    if rewards.shape != valid.shape:
        raise ValueError(f"rewards {rewards.shape} and valid {valid.shape} differ in shape")
    if not amount >= 0:
        raise ValueError(f"the penalty is subtracted, so it must not be negative; got {amount}")
    return rewards - amount * ~valid


@dataclass(frozen=True, slots=True)
class InvalidAction:
    """A price for each invalid turn."""

    penalty: float = 0.1
    """What an invalid turn costs; 0.1 is common for text games, 0.01 for search."""

    name: ClassVar[str] = "invalid_action"
    stage: ClassVar[Stage] = "price"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        with parameters_of(self.name):
            invalid_action_penalty(np.empty(0), np.empty(0, np.bool_), self.penalty)

    def __call__(self, batch: Batch, signals: Signals) -> Batch:
        """Return the batch with the price taken off."""
        rewards = invalid_action_penalty(batch.rewards, batch.valid, self.penalty)
        return added(batch, rewards - batch.rewards)
