"""What stands between the network and the shop: which requests are let in, and how replies look.

The server listens on this machine only, but every web page a person opens can send requests to
it. So the `Host` must be ours (a page whose name was made to point here, DNS rebinding, is not), a
POST must come from our own pages, and other sites may link here but not fetch or frame us.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With "no-referrer" browsers say `Origin: null` in our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Guard:
    """An application around the shop's."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = LOOPBACK) -> None:
        """Guard an application.

        Args:
            app: What to guard.
            hosts: The names under which it may be asked, without port.
        """
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] != "http":
            return
        problem = self._problem(scope)
        app = PlainTextResponse(problem, status_code=403) if problem else self._app
        await app(scope, receive, _with_headers(send))

    def _problem(self, scope: MutableMapping[str, Any]) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or _without_port(host) not in self._hosts:
            return "This server does not answer to that name."
        site = headers.get("sec-fetch-site", "none")
        if scope["method"] in ("GET", "HEAD"):
            linked = headers.get("sec-fetch-mode", "navigate") == "navigate"
            other = site not in ("none", "same-origin") and not linked
            return "Other sites may link here, no more." if other else ""
        origin = headers.get("origin")
        ours = origin == f"{scope['scheme']}://{host}" if origin else site == "same-origin"
        return "" if ours else "This form was not on a page of this shop."


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
