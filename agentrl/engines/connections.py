"""Many requests at a time to one HTTP server, over connections that are kept.

This is aiohttp and not httpx, which starts, downloads and probes use: with 64 requests in flight
httpx spends 6 ms of processor on each, most of it in its pool, and aiohttp 0.2 ms
(`tests/benchmarks/bench_connections.py`).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import httpx

_CONNECT_SECONDS = 10.0


class ConnectionFailure(Exception):
    """A connection broke before the whole answer was in, or what came over it was no HTTP."""


class NotConnected(ConnectionFailure):
    """There never was a connection: nothing has been sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    content: bytes

    @property
    def text(self) -> str:
        """The content as text, whatever it is."""
        return self.content.decode(errors="replace")


class Connections:
    """Connections to one server; usable from one event loop at a time."""

    def __init__(
        self,
        *,
        most: int,
        headers: Mapping[str, str],
        keep_seconds: float,
        is_secure: bool,
        trust_env: bool,
    ) -> None:
        """Prepare to talk; nothing is sent.

        Args:
            most: Most connections at a time; further requests wait for one.
            headers: Sent with each request.
            keep_seconds: How long an idle connection is kept.
            is_secure: Whether the server is spoken to with TLS; the certificates are httpx's.
            trust_env: Whether the environment's proxies are used.
        """
        self._most = most
        self._headers = dict(headers)
        self._keep_seconds = keep_seconds
        self._trust_env = trust_env
        # Loading the certificates takes longer than a request.
        self._tls: ssl.SSLContext | bool = httpx.create_ssl_context() if is_secure else True
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str) -> Reply:
        """Return the answer to a GET request; see `send`."""
        return await self.send("GET", url)

    async def send(
        self,
        method: str,
        url: str,
        content: bytes = b"",
        parameters: Mapping[str, str | list[str]] | None = None,
    ) -> Reply:
        """Return the answer to a request; there is no deadline but that of connecting.

        Redirections are answers, and not followed.

        Args:
            method: Such as POST, which is sent once, however it fails.
            url: Where to.
            content: JSON; may be empty.
            parameters: Of the query; a list is sent as one parameter several times.

        Raises:
            NotConnected: The server cannot be reached.
            ConnectionFailure: It hung up, or speaks no HTTP.
        """
        headers = {"Content-Type": "application/json"} if content else {}
        try:
            async with self._open().request(
                method,
                url,
                data=content or None,
                headers=headers,
                params=parameters,
                allow_redirects=False,
            ) as response:
                return Reply(response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotConnected(_words(error)) from None
        except aiohttp.ClientError as error:
            raise ConnectionFailure(_words(error)) from None

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._most, keepalive_timeout=self._keep_seconds, ssl=self._tls
                ),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                trust_env=self._trust_env,
            )
        return self._session


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
