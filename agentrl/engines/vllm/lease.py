"""Which weights are served, and which older ones something is still sampled with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agentrl.engines.vllm.transports.base import Staged


@dataclass(slots=True, eq=False)
class Lease:
    """One version being served."""

    version: int
    name: str
    """Of the model in requests."""
    staged: Staged | None
    """Where it can be loaded from again; None: it is what servers start with."""
    users: int = 0
    """Completions being sampled with it."""
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def used(self) -> Iterator[Lease]:
        """Give it to a block that samples with it."""
        self.users += 1
        self._idle.clear()
        try:
            yield self
        finally:
            self.users -= 1
            if not self.users:
                self._idle.set()

    async def unused(self) -> None:
        """Return once nothing is sampled with it."""
        while self.users:
            await self._idle.wait()
