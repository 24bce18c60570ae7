"""Methods that remember: what a trainer does so that they learn and survive a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from agentrl.batch import Batch
from agentrl.errors import CheckpointError


@runtime_checkable
class Remembers(Protocol):
    """A credit method or reward transform whose values depend on batches before.

    Its call does not change what it knows.
    """

    @property
    def name(self) -> str:
        """The word used in configurations."""

    def learn(self, batch: Batch) -> None:
        """Take in a batch, after the policy step on it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what it knows in plain JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Know what was saved, and nothing else."""
        ...


def learn(methods: Iterable[object], batch: Batch) -> None:
    """Let the methods that remember take in a batch, once per policy step."""
    for method in methods:
        if isinstance(method, Remembers):
            method.learn(batch)


def state_dict(methods: Iterable[object]) -> dict[str, Any]:
    """Return what the methods know, by name, in plain JSON values."""
    return {m.name: m.state_dict() for m in methods if isinstance(m, Remembers)}


def load_state_dict(
    methods: Iterable[object], state: Mapping[str, Any], noun: str = "credit method"
) -> None:
    """Give the methods back what they knew.

    Args:
        methods: Those of the run.
        state: As of `state_dict`.
        noun: What the error calls them.

    Raises:
        CheckpointError: A method that remembers has nothing saved, or something else.
    """
    for method in methods:
        if not isinstance(method, Remembers):
            continue
        if method.name not in state:
            raise CheckpointError(
                f"the checkpoint holds nothing of {noun} {method.name!r}; it was written without "
                "it: start a new run from its policy/ directory"
            )
        method.load_state_dict(state[method.name])
