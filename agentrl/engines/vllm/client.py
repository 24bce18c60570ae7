"""Talks to one vLLM server: requests in flight are bounded, failures become one clear line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from agentrl.engines.connections import ConnectionFailure, Connections, NotConnected, Reply
from agentrl.engines.vllm.wire import Answer, tokens_done
from agentrl.errors import EngineFault

_CONNECT_PAUSES = (0.1, 0.4, 1.5)
"""Waits before a refused connection is tried again."""
_KEEP_ALIVE_SECONDS = 2.0
"""Shorter than the server's 5 s, so that no request is sent into a connection just closed."""
_CONTROL_SECONDS = 600.0
_HEALTH_SECONDS = 5.0

_Query = Mapping[str, str | list[str]]


class Lost(EngineFault):
    """The server cannot be reached, hung up or is dead: what it was asked can be asked again."""


class VllmClient:
    """The client of one server; usable from one event loop at a time."""

    def __init__(
        self,
        url: str,
        *,
        in_flight: int,
        seconds: float,
        api_key: str | None = None,
        packs_head: bool = False,
    ) -> None:
        """Prepare to talk to a server; nothing is sent.

        Args:
            url: Such as `http://127.0.0.1:8000`, without `/v1`.
            in_flight: Most completion requests at a time; more wait here, not for a connection.
            seconds: Deadline of one completion, from when it is sent.
            api_key: Sent with each request.
            packs_head: See `agentrl.engines.vllm.probe.ServerFacts`.
        """
        self.url = url
        self.packs_head = packs_head
        self._in_flight = asyncio.Semaphore(in_flight)
        self._seconds = seconds
        self._connections = Connections(
            url,
            # A few more for weights, caches and health, which must not wait for completions.
            most=in_flight + 4,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            keep_seconds=_KEEP_ALIVE_SECONDS,
        )
        self._decoder = msgspec.json.Decoder(Answer)
        self._waiting: set[asyncio.Timeout] = set()
        self._given_up = ""

    @property
    def waiting(self) -> int:
        """How many requests, health apart, have been sent and not answered."""
        return len(self._waiting)

    async def complete(self, body: dict[str, Any]) -> Answer:
        """Return the answer to a completion request.

        Raises:
            Lost: The server does not answer, and never will.
            EngineFault: It refused the request, answered nonsense or took too long.
        """
        mend = "; raise the engine option request_seconds, or look at the server's log"
        async with self._in_flight, self._deadline(self._seconds, EngineFault, mend):
            reply = await self._post("/v1/completions", body)
        try:
            return self._decoder.decode(reply.content)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise EngineFault(
                f"the server at {self.url} answered nonsense ({error}); is it vLLM 0.32?"
            ) from None

    async def control(
        self, path: str, body: dict[str, Any] | None = None, **parameters: str | list[str]
    ) -> Any:
        """Have the server do something, and return its answer; None where that is no JSON.

        Args:
            path: The endpoint, asked with POST.
            body: Sent as JSON.
            parameters: Of the query; a list is sent as one parameter several times.

        Raises:
            Lost: The server does not answer, and never will.
            EngineFault: It could not.
        """
        async with self._deadline(_CONTROL_SECONDS, Lost, f" ({path})"):
            reply = await self._post(path, body, parameters)
        try:
            return msgspec.json.decode(reply.content)
        except msgspec.DecodeError:
            return None

    async def ask(self, path: str) -> Any:
        """Return what the server says at an endpoint.

        Raises:
            Lost: It does not say it soon.
        """
        reply = await self._get(path)
        if reply is None or reply.status != 200:
            raise Lost(f"the server at {self.url} does not answer {path}")
        return msgspec.json.decode(reply.content)

    async def is_well(self) -> bool:
        """Return whether the server says that it and its engine work."""
        reply = await self._get("/health")
        return reply is not None and reply.status == 200

    async def progress(self) -> float | None:
        """Return how many tokens the server has read and sampled; None: it does not answer."""
        reply = await self._get("/metrics")
        return tokens_done(reply.text) if reply is not None else None

    def give_up(self, reason: str) -> None:
        """Fail what is waiting for the server with `Lost`; this client is not used any more."""
        self._given_up = reason
        now = asyncio.get_running_loop().time()
        for scope in self._waiting:
            if not scope.expired():
                scope.reschedule(now)

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    @asynccontextmanager
    async def _deadline(
        self, seconds: float, fault: type[EngineFault], more: str
    ) -> AsyncIterator[None]:
        """Give an answer its time; a late one is a fault, about which more may be said."""
        if self._given_up:
            raise Lost(self._given_up)
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                self._waiting.add(scope)
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            if self._given_up:
                raise Lost(self._given_up) from None
            raise fault(
                f"the server at {self.url} did not answer within {seconds:g} s{more}"
            ) from None
        finally:
            self._waiting.discard(scope)

    async def _get(self, path: str) -> Reply | None:
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                return await self._connections.get(path)
        except (ConnectionFailure, TimeoutError):
            return None

    async def _post(
        self, path: str, body: dict[str, Any] | None, parameters: _Query | None = None
    ) -> Reply:
        content = msgspec.json.encode(body) if body is not None else b""
        try:
            reply = await self._connected(path, content, parameters)
        except ConnectionFailure as error:
            raise Lost(f"the server at {self.url} hung up ({error})") from None
        if reply.status < 400:
            return reply
        told = f"refused {path} with status {reply.status}: {error_text(reply.content)}"
        # A server whose engine has died still answers for a while.
        if reply.status >= 500 and not await self.is_well():
            raise Lost(f"the server at {self.url} {told}")
        raise EngineFault(f"the server at {self.url} {told}")

    async def _connected(self, path: str, content: bytes, parameters: _Query | None) -> Reply:
        for pause in (*_CONNECT_PAUSES, None):
            try:
                return await self._connections.post(path, content, parameters)
            except NotConnected as error:
                if pause is None:
                    raise Lost(
                        f"the server at {self.url} cannot be reached ({error}); "
                        "is it running, and is the URL right?"
                    ) from None
                await asyncio.sleep(pause)
        raise AssertionError("the last pause is None")


def error_text(refusal: bytes) -> str:
    """Return what a refusal says, on one line."""
    try:
        content = msgspec.json.decode(refusal)
    except msgspec.DecodeError:
        text = " ".join(refusal.decode(errors="replace").split())[:200] or "no reason given"
        return "a web page" if text.startswith("<") else text
    found = content.get("error", content.get("detail")) if isinstance(content, dict) else content
    if isinstance(found, dict):
        found = found.get("message", found)
    return " ".join(str(found).split())[:300]
