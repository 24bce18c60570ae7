"""A small chat endpoint that answers well, or fails in the ways endpoints do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass
class Endpoint:
    """Answers chat requests with its `faults` first, one each, then with `reply`."""

    reply: str = "go north"
    finish_reason: str = "stop"
    models: tuple[str, ...] | None = ("parrot",)
    """None: it has no list."""
    key: str = ""
    prefix: str = "/v1"
    faults: list[bytes | None] = field(default_factory=list)
    """Raw responses; None: it never answers."""
    models_fault: bytes | None = None
    usage: Body | None = field(
        default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 3}
    )
    hold: asyncio.Event | None = None
    asked: list[Body] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    port: int = 0
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    async def start(self) -> Endpoint:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.lower().split("\r\n")
                sizes = [line.split(":")[1] for line in lines if line.startswith("content-length")]
                content = await reader.readexactly(int(sizes[0]) if sizes else 0)
                writer.write(await self._answer(head, json.loads(content) if content else {}))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str, body: Body) -> bytes:
        path = head.split(" ")[1]
        if self.key and f"authorization: bearer {self.key}\r\n".lower() not in head.lower():
            return response(401, {"error": {"message": f"Incorrect key, not {self.key}"}})
        if path == f"{self.prefix}/models":
            return self.models_fault or self._list()
        if path != f"{self.prefix}/chat/completions":
            return response(404, {"detail": "Not Found"})
        self.asked.append(body)
        if self.faults:
            fault = self.faults.pop(0)
            if fault is None:
                await asyncio.Event().wait()
            return fault or b""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.hold is not None:
                await self.hold.wait()
            return self._complete(body)
        finally:
            self.running -= 1

    def _list(self) -> bytes:
        if self.models is None:
            return response(404, {"detail": "Not Found"})
        return response(200, {"data": [{"id": name} for name in self.models]})

    def _complete(self, body: Body) -> bytes:
        if self.models is not None and body["model"] not in self.models:
            return response(404, {"error": {"message": f"no model {body['model']}"}})
        message = {"role": "assistant", "content": self.reply}
        choice = {"message": message, "finish_reason": self.finish_reason}
        return response(200, {"choices": [choice], "usage": self.usage})


def response(status: int, content: Any, headers: str = "") -> bytes:
    """Return an HTTP response; `content` is JSON, or bytes as they are."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
    return head.encode() + data


@contextlib.asynccontextmanager
async def starter() -> AsyncIterator[Any]:
    """Give a function that starts endpoints; they are stopped at the end."""
    started: list[Endpoint] = []

    async def make(**settings: Any) -> Endpoint:
        started.append(await Endpoint(**settings).start())
        return started[-1]

    yield make
    for endpoint in started:
        await endpoint.stop()
