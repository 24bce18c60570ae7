"""Many requests at a time to one HTTP server, over connections that are kept.

This is aiohttp and not httpx, which starts, downloads and probes use: with 64 requests in flight
httpx spends 8 ms of processor on each, most of it in its pool, and aiohttp 0.14 ms
(`tests/benchmarks/bench_connections.py`).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx

from agentrl.errors import ConfigError, one_line

_CONNECT_SECONDS = 10.0
_CERTIFICATES = "SSL_CERT_FILE"


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
        url: str,
        *,
        most: int,
        headers: Mapping[str, str],
        keep_seconds: float,
        proxy: str | None = None,
    ) -> None:
        """Prepare to talk; nothing is sent.

        Args:
            url: What all paths are appended to.
            most: Most connections at a time; further requests wait for one.
            headers: Sent with each request.
            keep_seconds: How long an idle connection is kept.
            proxy: Its URL; see `environment_proxy`.
        """
        self._url = url
        self._most = most
        self._headers = dict(headers)
        self._keep_seconds = keep_seconds
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str) -> Reply:
        """Return the answer to a GET request; see `post`."""
        return await self._send("GET", path)

    async def post(
        self, path: str, content: bytes, parameters: Mapping[str, str | list[str]] | None = None
    ) -> Reply:
        """Return the answer to a request, which is sent once, however it fails.

        There is no deadline but that of connecting. Redirections are answers, and not followed.

        Args:
            path: Where to.
            content: JSON; may be empty.
            parameters: Of the query; a list is sent as one parameter several times.

        Raises:
            NotConnected: The server cannot be reached.
            ConnectionFailure: It hung up, or speaks no HTTP.
        """
        headers = {"Content-Type": "application/json"} if content else {}
        return await self._send(
            "POST", path, data=content or None, headers=headers, params=parameters
        )

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, method: str, path: str, **more: Any) -> Reply:
        session = self._open()
        try:
            async with session.request(
                method, self._url + path, allow_redirects=False, **more
            ) as response:
                return Reply(response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotConnected(one_line(error)) from None
        except aiohttp.ClientError as error:
            raise ConnectionFailure(one_line(error)) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._most,
                    keepalive_timeout=self._keep_seconds,
                    ssl=certificates(self._url) or True,
                ),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                proxy=self._proxy,
            )
        return self._session


def host_of(url: str) -> str | None:
    """Return the host that a URL names; None where no connection can be tried to it."""
    try:
        place = urlsplit(url)
        host, _ = place.hostname, place.port
        # What httpx takes for a host, a look-up may still not.
        httpx.URL(url).host.encode("idna")
    except (ValueError, httpx.InvalidURL):
        return None
    return host


def certificates(url: str) -> ssl.SSLContext | None:
    """Return what a server's certificate is checked against, the environment's where it names some.

    None without TLS: loading them takes longer than a request.

    Raises:
        ConfigError: The environment names a file that holds none.
    """
    if not url.startswith("https"):
        return None
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        named = os.environ.get(_CERTIFICATES)
        if not named:
            raise
        raise ConfigError(
            f"cannot read the certificates in {named}, which the environment variable "
            f"{_CERTIFICATES} names ({error.strerror}); correct it, or unset it"
        ) from None


def environment_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, or None; none leads to this machine.

    aiohttp's own `trust_env` reads neither `ALL_PROXY`, as httpx does, nor leaves `.netrc` alone,
    whose password it would send in place of our key.

    Raises:
        ConfigError: The proxy speaks no HTTP, or its URL is none.
    """
    place = urlsplit(url)
    host = place.hostname or ""
    if host in ("localhost", "127.0.0.1", "::1") or proxy_bypass(host):
        return None
    proxies = getproxies()
    kind = place.scheme if place.scheme in proxies else "all"
    proxy = proxies.get(kind)
    if not proxy:
        return None
    scheme, mark, _ = proxy.partition("://")
    if mark and scheme.lower() not in ("http", "https"):
        raise ConfigError(
            f"{kind.upper()}_PROXY names a proxy of kind {scheme}, of which none is used; name an "
            f"http:// one, or set NO_PROXY={host}"
        )
    found = proxy if mark else f"http://{proxy}"
    if host_of(found) is None:
        # Not what it holds: that may be a password.
        raise ConfigError(
            f"{kind.upper()}_PROXY holds no URL of a proxy; one is http://host:3128, or set "
            f"NO_PROXY={host}"
        )
    return found
