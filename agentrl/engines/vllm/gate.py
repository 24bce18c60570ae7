"""Who may use the servers: requests pass one way, weight updates have them to themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
    async def passage(self, seconds: float) -> AsyncIterator[None]:
        """Wait for the gate, then give the block so many seconds.

        Raises:
            EngineFault: The time is over, or the gate is or was closed for good.
        """
        self.check_open()
        try:
            async with asyncio.timeout(None) as scope:
                self._scopes.add(scope)
                try:
                    while self._holds:
                        await self._open.wait()
                    scope.reschedule(asyncio.get_running_loop().time() + seconds)
                    with _Running(self):
                        yield
                finally:
                    self._scopes.discard(scope)
        except TimeoutError:
            if not scope.expired():
                raise
            self.check_open()
            raise EngineFault(
                f"vLLM did not answer within {seconds:g} s; raise the engine option "
                "request_seconds, or look at the server's log"
            ) from None

    @asynccontextmanager
    async def drained(self) -> AsyncIterator[None]:
        """Keep new requests out, and run the block once those inside have left."""
        self.check_open()
        self._hold()
        try:
            await self._empty.wait()
            self.check_open()
            yield
        finally:
            self._let_go()

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

    def enter(self) -> None:
        """Count one more inside."""
        self._running += 1
        self._empty.clear()

    def leave(self) -> None:
        """Count one less inside."""
        self._running -= 1
        if not self._running:
            self._empty.set()


class _Running:
    """Counts a block as inside the gate."""

    __slots__ = ("_gate",)

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        self._gate.enter()

    def __exit__(self, *exception: object) -> None:
        self._gate.leave()
