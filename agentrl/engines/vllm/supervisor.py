"""Sends work to servers, and brings back those that die or hang.

A server is lost when it refuses connections, hangs up, says that its engine is dead, or has
requests and neither reads nor samples a token for `stall_seconds`. All that waits for it fails at
once with `Lost`; as sampling has no side effects, it can be asked for again. The server is started
anew (or waited for, if it is somebody else's), given the weights of this moment, and used again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agentrl.engines.vllm.client import Lost, VllmClient
from agentrl.engines.vllm.process import Say
from agentrl.engines.vllm.router import Router
from agentrl.engines.vllm.servers import Server
from agentrl.errors import AgentRLError, EngineFault

T = TypeVar("T")

_POLL_SECONDS = 5.0
_LIVES = 5
"""So many times in a row a server is brought back without having answered in between."""


@dataclass(slots=True, eq=False)
class _Place:
    """One server and what is known of it."""

    server: Server
    client: VllmClient
    losses: int = 0
    """Since it last answered."""
    progress: float | None = None
    moved: float = 0.0
    """When it last made progress, or had nothing to do."""
    revival: asyncio.Task[None] | None = None


class Supervisor:
    """Servers that are brought back when they are lost."""

    def __init__(
        self,
        servers: Sequence[Server],
        connect: Callable[[Server], VllmClient],
        *,
        stall_seconds: float,
        say: Say,
    ) -> None:
        """Watch over servers that answer now.

        Args:
            servers: The servers.
            connect: Makes the client of a server.
            stall_seconds: How long a server with requests may make no progress.
            say: Told of losses and returns.
        """
        self.restore: Callable[[VllmClient], Awaitable[None]] | None = None
        """Gives a server that has come back the weights of this moment."""
        self.returns: list[float] = []
        """Seconds from each loss to the return."""
        self._connect = connect
        self._places = [_Place(server, connect(server)) for server in servers]
        self._router = Router(len(self._places))
        self._stall_seconds = stall_seconds
        self._say = say
        self._fault: EngineFault | None = None
        self._has_news = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    @property
    def urls(self) -> list[str]:
        """Where the servers answer."""
        return [place.server.url for place in self._places]

    @property
    def clients(self) -> list[VllmClient]:
        """Of the servers that are up."""
        return [self._places[index].client for index in self._router.up]

    async def available(self) -> None:
        """Return once a server is up.

        Raises:
            EngineFault: None comes back.
        """
        while not self._router.up:
            if all(place.revival is None for place in self._places):
                assert self._fault is not None
                raise self._fault
            self._has_news.clear()
            await self._has_news.wait()

    async def run(self, session: str, work: Callable[[VllmClient], Awaitable[T]]) -> T:
        """Do some work on the session's server.

        Raises:
            Lost: The server was lost, or none is up; `available` tells when to ask again.
            EngineFault: The work failed on a server that is well.
        """
        self._begin_watch()
        with self._router.lease(session) as index:
            place = self._places[index]
            client = place.client
            try:
                result = await work(client)
            except Lost as lost:
                self._lose(index, client, lost)
                raise
            except EngineFault as fault:
                raise place.server.explained(fault) from None
        place.losses = 0
        return result

    async def each(
        self,
        work: Callable[[Sequence[VllmClient]], Awaitable[Sequence[BaseException | None]]],
    ) -> None:
        """Do some work on all servers that are up; those that are lost in it are brought back.

        Raises:
            EngineFault: A server that is well could not do it.
        """
        self._begin_watch()
        up = self._router.up
        clients = [self._places[index].client for index in up]
        outcomes = await work(clients)
        failures = []
        for index, client, outcome in zip(up, clients, outcomes, strict=True):
            if isinstance(outcome, Lost):
                self._lose(index, client, outcome)
            elif outcome is not None:
                failures.append(outcome)
        if failures:
            raise failures[0]

    def release(self, session: str) -> None:
        """Forget which server an episode was on."""
        self._router.release(session)

    async def close(self) -> None:
        """Stop bringing servers back, and end those that are ours."""
        tasks = [self._watch, *(place.revival for place in self._places)]
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        for place in self._places:
            await place.client.close()
            await asyncio.to_thread(place.server.stop)
        await asyncio.gather(*running, return_exceptions=True)

    def _lose(self, index: int, client: VllmClient, lost: Lost) -> None:
        """Take a server out of use and have it brought back; many may report one loss."""
        place = self._places[index]
        if place.revival is not None or client is not place.client:
            return
        self._router.suspend(index)
        client.give_up(str(lost))
        self._say(f"lost a vLLM server: {place.server.explained(lost)}; bringing it back")
        place.revival = asyncio.create_task(self._revive(index))

    async def _revive(self, index: int) -> None:
        place, since = self._places[index], time.monotonic()
        problem = "it answered nothing before it was lost again; look at its log"
        while place.losses < _LIVES:
            place.losses += 1
            try:
                await place.client.close()
                await asyncio.to_thread(place.server.revive)
                place.client = self._connect(place.server)
                if self.restore is not None:
                    await self.restore(place.client)
            except AgentRLError as error:
                problem = str(error)
                continue
            place.moved = time.monotonic()
            self.returns.append(place.moved - since)
            self._say(f"a vLLM server is back after {self.returns[-1]:.0f} s: {place.server.url}")
            self._router.restore(index)
            break
        else:
            self._fault = EngineFault(
                f"the vLLM server at {place.server.url} was brought back {_LIVES} times in a row, "
                f"in vain: {problem}"
            )
        place.revival = None
        self._has_news.set()

    def _begin_watch(self) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_over())

    async def _watch_over(self) -> None:
        """Lose servers that have requests and make no progress."""
        for place in self._places:
            place.moved = time.monotonic()
        while True:
            await asyncio.sleep(min(_POLL_SECONDS, self._stall_seconds / 4))
            await asyncio.gather(*(self._look_at(index) for index in self._router.up))

    async def _look_at(self, index: int) -> None:
        place, client = self._places[index], self._places[index].client
        progress = await client.progress() if client.waiting else None
        now = time.monotonic()
        if not client.waiting or (progress is not None and progress != place.progress):
            place.progress, place.moved = progress, now
        elif now - place.moved > self._stall_seconds:
            self._lose(index, client, Lost(
                f"the server at {client.url} has {client.waiting} requests and made no progress "
                f"for {now - place.moved:.0f} s"
            ))  # fmt: skip
