"""Where signals come from that credit methods ask for beyond the batch.

Between rollout and credit the trainer asks each source that some method needs, once; a source that
is itself trained learns after credit was assigned.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, runtime_checkable

from agentrl.batch import Batch
from agentrl.blocking import Worker
from agentrl.learner.learner import SIGNALS, Learner
from agentrl.trajectory import Signals


class SignalSource(Protocol):
    """Measures signals of a batch."""

    @property
    def provides(self) -> frozenset[str]:
        """The signals it can give, by the names in `agentrl.credit.base.SIGNALS`."""

    def measure(
        self, batch: Batch, known: Signals, *, temperature: float
    ) -> Signals | Awaitable[Signals]:
        """Return the signals it provides, in the shapes that `SIGNALS` states.

        Args:
            batch: Whole groups of trajectories.
            known: What the sources before it gave.
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


class LearnerSource:
    """What the learner itself can measure in one pass: the wanted ones of its `SIGNALS`."""

    def __init__(self, learner: Learner, names: frozenset[str]) -> None:
        """Measure these names on each batch."""
        self.provides = names & set(SIGNALS)
        self._learner = learner

    def measure(self, batch: Batch, known: Signals, *, temperature: float) -> Signals:
        """Return them, shape [tokens] each."""
        return self._learner.signals(batch, self.provides, temperature=temperature)


async def measure(
    sources: list[SignalSource], batch: Batch, worker: Worker, *, temperature: float
) -> Signals:
    """Return what the sources give, each asked once, in the order of the list.

    Args:
        sources: Those that compute do it in the worker's thread; others are awaited.
        batch: Whole groups of trajectories.
        worker: The learner's thread.
        temperature: What the batch was sampled at.
    """
    known: Signals = {}
    for source in sources:
        found = await worker.run(source.measure, batch, known, temperature=temperature)
        known |= await found if isinstance(found, Awaitable) else found
    return known
