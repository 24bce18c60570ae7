"""Where signals come from that credit methods ask for beyond the batch.

Between rollout and credit the trainer asks each source that some method needs, once, in order of
what they require of each other; a source that is itself trained learns after credit was assigned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from agentrl.batch import Batch
from agentrl.trajectory import Signals


class SignalSource(Protocol):
    """Measures signals of a batch under frozen weights."""

    @property
    def provides(self) -> frozenset[str]:
        """The signals it can give, by the names in `agentrl.credit.base.SIGNALS`."""

    @property
    def requires(self) -> frozenset[str]:
        """The signals that must be known before."""

    def measure(self, batch: Batch, known: Signals, *, temperature: float) -> Signals:
        """Return the signals it provides, in the shapes that `SIGNALS` states.

        Args:
            batch: Whole groups of trajectories.
            known: At least what it `requires`.
            temperature: What the batch was sampled at.
        """
        ...


@runtime_checkable
class TrainedSource(Protocol):
    """A source with weights of its own, such as a process reward model or a critic."""

    def learn(self, batch: Batch, known: Signals, *, temperature: float) -> dict[str, float]:
        """Take one update from a batch that was measured before, and return figures about it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything that training goes on from; tensors are the live ones."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        ...
