"""Talks to one vLLM server: requests in flight are bounded, failures become one clear line."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec

from agentrl.engines.vllm.wire import Answer
from agentrl.errors import EngineFault

_CONNECT_SECONDS = 10.0
_CONNECT_PAUSES = (0.1, 0.4, 1.5)
"""Waits before a refused connection is tried again."""
_KEEP_ALIVE_SECONDS = 2.0
"""Shorter than the server's 5 s, so that no request is sent into a connection just closed."""
_SYNC_SECONDS = 600.0


class Unreachable(EngineFault):
    """The server refuses connections: it has not seen the request."""


class VllmClient:
    """The client of one server; usable from one event loop at a time."""

    def __init__(self, url: str, *, in_flight: int, api_key: str | None = None) -> None:
        """Prepare to talk to a server; nothing is sent.

        Args:
            url: Such as `http://127.0.0.1:8000`, without `/v1`.
            in_flight: Most completion requests at a time; more wait here, not in the HTTP pool,
                which hangs with thousands queued.
            api_key: Sent with each request.
        """
        self.url = url
        self._in_flight = asyncio.Semaphore(in_flight)
        # Two more for weights and caches, which must not wait for completions.
        self._limits = httpx.Limits(
            max_connections=in_flight + 2,
            max_keepalive_connections=in_flight + 2,
            keepalive_expiry=_KEEP_ALIVE_SECONDS,
        )
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http: httpx.AsyncClient | None = None
        self._decoder = msgspec.json.Decoder(Answer)

    async def complete(self, body: dict[str, Any]) -> Answer:
        """Return the answer to a completion request; the caller sets the deadline.

        Raises:
            Unreachable: The server refuses connections.
            EngineFault: It hung up, refused the request or answered nonsense.
        """
        async with self._in_flight:
            response = await self._post("/v1/completions", body)
        try:
            return self._decoder.decode(response.content)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise EngineFault(
                f"the server at {self.url} answered nonsense ({error}); is it vLLM 0.32?"
            ) from None

    async def reload_weights(self, folder: str) -> None:
        """Have the server read its weights from a directory that it sees too.

        Raises:
            EngineFault: It could not.
        """
        body = {"method": "reload_weights", "kwargs": {"weights_path": folder}}
        async with asyncio.timeout(_SYNC_SECONDS):
            await self._post("/collective_rpc", body)

    async def reset_prefix_cache(self) -> bool:
        """Have the server forget activations of older weights; return whether it did.

        Raises:
            EngineFault: The server failed.
        """
        response = await self._post("/reset_prefix_cache", None)
        try:
            return bool(msgspec.json.decode(response.content or b"{}").get("success", True))
        except (msgspec.DecodeError, AttributeError):
            return False

    async def close(self) -> None:
        """Close all connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _post(self, path: str, body: dict[str, Any] | None) -> httpx.Response:
        content = msgspec.json.encode(body) if body is not None else b""
        try:
            response = await self._connected(path, content)
        except httpx.HTTPError as error:
            raise EngineFault(
                f"the server at {self.url} hung up ({_words(error)}); look at its log"
            ) from None
        if response.status_code >= 400:
            raise EngineFault(
                f"the server at {self.url} refused {path} with status {response.status_code}: "
                f"{error_text(response)}"
            )
        return response

    async def _connected(self, path: str, content: bytes) -> httpx.Response:
        """Send a request; only one that the server cannot have seen is sent again."""
        headers = {"Content-Type": "application/json"} if content else {}
        for pause in (*_CONNECT_PAUSES, None):
            try:
                return await self._client().post(path, content=content, headers=headers)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if pause is None:
                    raise Unreachable(
                        f"the server at {self.url} cannot be reached ({_words(error)}); "
                        "is it running, and is the URL right?"
                    ) from None
                await asyncio.sleep(pause)
        raise AssertionError("the last pause is None")

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(
                base_url=self.url,
                headers=self._headers,
                limits=self._limits,
                # Completions take as long as they take: the engine's deadline ends them.
                timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
                **connection_settings(self.url),
            )
        return self._http


def connection_settings(url: str) -> dict[str, Any]:
    """Return what all clients of a server have in common: no proxies, and TLS only where used."""
    # Loading the certificates takes longer than a request.
    return {"trust_env": False, "verify": url.startswith("https")}


def error_text(response: httpx.Response) -> str:
    """Return what a refusal says, on one line."""
    try:
        content = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return " ".join(response.text.split())[:200] or "no reason given"
    found = content.get("error", content.get("detail")) if isinstance(content, dict) else content
    if isinstance(found, dict):
        found = found.get("message", found)
    return " ".join(str(found).split())[:300]


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
