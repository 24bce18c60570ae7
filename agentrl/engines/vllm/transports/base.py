"""The one interface of all transports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentrl.engines.base import Weights
from agentrl.engines.vllm.client import VllmClient


@dataclass(frozen=True, slots=True, eq=False)
class Staged:
    """Weights that servers can take, also one that is started anew."""

    version: int
    """The policy's."""
    folder: Path
    """Holds them, seen by the servers under the same path."""
    name: str
    """Of the model in requests once they are loaded."""


class Transport(Protocol):
    """Brings weights to servers."""

    stops_sampling: bool
    """Whether servers cannot sample while they take weights."""
    takes_adapters: bool
    """Whether it brings LoRA adapters in place of whole weights."""

    def stage(self, version: int, weights: Weights) -> Staged:
        """Prepare weights for sending; blocks.

        Raises:
            ModelError: They are not the served model's.
            EngineFault: They cannot be written.
        """
        ...

    async def restore(self, client: VllmClient, staged: Staged) -> None:
        """Have one server load staged weights, whatever it holds.

        Raises:
            Lost: The server is gone.
            EngineFault: It could not.
        """
        ...

    async def send(
        self, clients: Sequence[VllmClient], staged: Staged
    ) -> Sequence[BaseException | None]:
        """Have servers load the weights staged last; return what went wrong with each."""
        ...

    async def retire(self, clients: Sequence[VllmClient], staged: Staged) -> None:
        """Forget staged weights that nothing is sampled with any more."""
        ...

    def close(self) -> None:
        """Delete everything staged."""
        ...


async def together(
    work: Callable[[VllmClient], Awaitable[object]], clients: Sequence[VllmClient]
) -> Sequence[BaseException | None]:
    """Do some work on all servers at once; return what went wrong with each."""
    outcomes = await asyncio.gather(*map(work, clients), return_exceptions=True)
    return [outcome if isinstance(outcome, BaseException) else None for outcome in outcomes]
