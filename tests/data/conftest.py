"""A file server with faults to order, and a small data source that is fetched from it."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentrl.data import Check, DataFile, DataSource, Download, download

CONTENT = random.Random(7).randbytes(300_000)


@dataclass
class Host:
    """What the server has, and how it behaves; tests change it as they go."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    pages: set[str] = field(default_factory=set)
    """What is served as a web page."""
    encoding: str | None = None
    statuses: list[int] = field(default_factory=list)
    """Answers to the next requests, before the file is served."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next answers break off."""
    hold: threading.Event | None = None
    """If set, an answer that breaks off stays open until this happens."""
    tells_length: bool = True
    lies_range: bool = False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    """Bytes of body sent, by request."""
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    host: Host

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        host, path = self.host, self.path.lstrip("/")
        host.requests.append((path, dict(self.headers)))
        if host.statuses:
            self.answer(host.statuses.pop(0), b"")
        elif path not in host.files:
            self.answer(404, b"")
        else:
            self.serve(host.files[path])

    def serve(self, content: bytes) -> None:
        start = self.start(len(content))
        if start is not None and start >= len(content):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        elif start is not None:
            told = 5 if self.host.lies_range else start
            piece = f"bytes {told}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], {"Content-Range": piece})
        else:
            self.answer(200, content)

    def start(self, size: int) -> int | None:
        """Return where the answer begins, or None for the whole file."""
        wanted = self.headers.get("Range", "")
        if not (self.host.ranges and wanted):
            return None
        known = (None, self.host.etag, self.host.modified)
        if self.headers.get("If-Range") not in known:
            return None
        return int(wanted.removeprefix("bytes=").rstrip("-"))

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        host = self.host
        cut = host.cuts.pop(0) if host.cuts and body else len(body)
        # Before the client can be done with it, so that a test that asks finds it.
        host.sent.append(cut)
        self.send_response(status)
        if host.etag:
            self.send_header("ETag", host.etag)
        if host.modified:
            self.send_header("Last-Modified", host.modified)
        if host.encoding:
            self.send_header("Content-Encoding", host.encoding)
        is_page = self.path.lstrip("/") in host.pages
        self.send_header("Content-Type", "text/html; charset=utf-8" if is_page else "binary/x")
        if host.tells_length:
            self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut < len(body) and host.hold is not None:
            self.wfile.flush()
            host.hold.wait(60)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Return a running server's state; its `url` is the address of its root."""
    monkeypatch.setattr(download, "_PAUSES", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = Host({"codes.bin": CONTENT})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"host": state}))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    if state.hold is not None:
        state.hold.set()
    server.shutdown()
    server.server_close()
    thread.join()


def pack(fetched, target, progress) -> None:
    with progress.task("packing", 1) as advance:
        fetched["codes.bin"].place(target / "codes.bin")
        advance(1)


def verify(folder: Path) -> tuple[Check, ...]:
    file = folder / "codes.bin"
    if not file.is_file():
        return (Check("codes.bin", "missing"),)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    right = digest == hashlib.sha256(CONTENT).hexdigest()
    return (Check("codes.bin", "verified" if right else "different", digest),)


@pytest.fixture
def make_source(host: Host) -> Callable[..., DataSource]:
    """Return a function that makes a source of one file; keywords change its download."""

    def make(*urls: str, **more: object) -> DataSource:
        addresses = urls or (f"{host.url}/codes.bin",)
        return DataSource(
            name="vault",
            environment="vault",
            folder="vault",
            summary="codes of vaults",
            licence="CC0",
            files=(DataFile("codes.bin", "codes"),),
            downloads=(Download("codes.bin", addresses, **more),),  # type: ignore[arg-type]
            pack=pack,
            verify=verify,
            bytes=len(CONTENT),
        )

    return make
