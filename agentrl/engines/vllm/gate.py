"""Who may use the servers: requests pass one way, weight updates have them to themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from agentrl.errors import EngineFault


class Gate:
    """Lets requests pass while nobody holds it, and tells a holder when the last has left."""

    def __init__(self) -> None:
        """Open the gate."""
        self._holds = 0
        self._running = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._scopes: set[asyncio.Timeout] = set()
        self.is_closed = False
        self.is_paused = False

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait for the gate, and count the block as inside.

        Raises:
            EngineFault: The gate is or was closed for good.
        """
        with self.closing() as scope:
            async with scope:
                while self._holds:
                    await self._open.wait()
                self._enter()
                try:
                    yield
                finally:
                    self._leave()

    @contextmanager
    def closing(self) -> Iterator[asyncio.Timeout]:
        """Give a scope that ends when the gate is closed for good.

        Raises:
            EngineFault: The gate is or was closed.
        """
        self.check_open()
        scope = asyncio.timeout(None)
        self._scopes.add(scope)
        try:
            yield scope
        except TimeoutError:
            if scope.expired():
                self.check_open()
            raise
        finally:
            self._scopes.discard(scope)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep new requests out of servers for the length of the block."""
        self.check_open()
        self._hold()
        try:
            yield
        finally:
            self._let_go()

    async def emptied(self) -> None:
        """Return once all that were inside have left.

        Raises:
            EngineFault: The gate was closed meanwhile.
        """
        await self._empty.wait()
        self.check_open()

    async def emptied_within(self, seconds: float) -> bool:
        """Return whether all that are inside leave in so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)
        return self._empty.is_set()

    async def pause(self) -> None:
        """Keep requests out until `resume`; return once those inside have left."""
        if not self.is_paused:
            self.is_paused = True
            self._hold()
        await self._empty.wait()

    def resume(self) -> None:
        """Let requests in again after `pause`."""
        if self.is_paused:
            self.is_paused = False
            self._let_go()

    def close(self) -> None:
        """Fail everyone inside and waiting, now and from now on."""
        self.is_closed = True
        for scope in [scope for scope in self._scopes if not scope.expired()]:
            scope.reschedule(asyncio.get_running_loop().time())

    def check_open(self) -> None:
        """Raise `EngineFault` once the gate is closed for good."""
        if self.is_closed:
            raise EngineFault("the engine is closed; make a new one")

    def _hold(self) -> None:
        self._holds += 1
        self._open.clear()

    def _let_go(self) -> None:
        self._holds -= 1
        if not self._holds:
            self._open.set()

    def _enter(self) -> None:
        self._running += 1
        self._empty.clear()

    def _leave(self) -> None:
        self._running -= 1
        if not self._running:
            self._empty.set()
