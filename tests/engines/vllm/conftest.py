"""A small HTTP server in place of vLLM, which answers well or fails in the ways servers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

VOCABULARY, CONTEXT = 40, 128
CONTROLS = {
    "/collective_rpc",
    "/pause",
    "/resume",
    "/abort_requests",
    "/update_weight_version",
    "/start_weight_update",
    "/finish_weight_update",
    "/sleep",
    "/wake_up",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
}
Body = dict[str, Any]


@dataclass
class Peer:
    """Speaks enough of vLLM's protocol; `fault` is asked first and may misbehave.

    Its model: the id after a prompt is the sum of the prompt and the number of weight updates,
    each with probability one half.
    """

    fault: Callable[[str, Body], Any] | None = None
    vocabulary: int = VOCABULARY
    missing: tuple[str, ...] = ()
    raw_logprobs: bool = False
    with_ids: bool = True
    context: int | None = CONTEXT
    updates: int = 0
    folders: list[str] = field(default_factory=list)
    seen: list[tuple[str, Body]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    port: int = 0
    hold: asyncio.Event | None = None
    """Completions wait for it, after their first id."""
    is_sleeping: bool = False
    adapters: dict[str, str] = field(default_factory=dict)
    """Folders by name."""
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _break_off: asyncio.Event = field(default_factory=asyncio.Event)
    _running: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> Peer:
        self._running.set()
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while (request := await _read(reader)) is not None:
                method, path, body = request
                self.seen.append((path, body))
                if self.fault is not None:
                    raw = self.fault(path, body)
                    raw = await raw if asyncio.iscoroutine(raw) else raw
                    if raw is not None:
                        writer.write(raw)
                        await writer.drain()
                        break
                status, content = await self._answer(method, path, body)
                _write(writer, status, json.dumps(content).encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, method: str, path: str, body: Body) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        if path in self.missing:
            return 404, {"detail": "Not Found"}
        if path == "/v1/models":
            return 200, {"data": [{"id": "policy", "max_model_len": self.context}]}
        if path == "/version":
            return 200, {"version": "0.32.0"}
        if path in ("/health", "/metrics"):
            return 200, {}
        if path == "/is_sleeping":
            return 200, {"is_sleeping": self.is_sleeping}
        if path == "/v1/completions":
            return await self._complete(body)
        if path in CONTROLS:
            return (200, self._control(path, query, body)) if method == "POST" else (405, {})
        return 404, {"detail": "Not Found"}

    def _control(self, path: str, query: str, body: Body) -> Any:
        if path == "/pause":
            self._running.clear()
        if path == "/abort_requests" or (path == "/pause" and "abort" in query):
            # Those that are there; later ones wait.
            self._break_off.set()
            self._break_off = asyncio.Event()
        if path == "/collective_rpc" and body["method"] == "reload_weights":
            self.updates += 1
            self.folders.append(body["kwargs"]["weights_path"])
        elif path == "/v1/load_lora_adapter":
            self.adapters[body["lora_name"]] = body["lora_path"]
        elif path == "/v1/unload_lora_adapter":
            del self.adapters[body["lora_name"]]
        elif path == "/resume":
            self._running.set()
        elif path == "/sleep":
            self.is_sleeping = True
        elif path == "/wake_up" and "kv_cache" in query:
            self.is_sleeping = False
        return {}

    async def _complete(self, body: Body) -> tuple[int, Any]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            version = self.updates
            broken = asyncio.ensure_future(self._break_off.wait())
            free = asyncio.ensure_future(self._free())
            await asyncio.wait([free, broken], return_when=asyncio.FIRST_COMPLETED)
            if not free.done():
                return self._sampled(body, version, most=1)
            return self._sampled(body, version)
        finally:
            self.running -= 1

    async def _free(self) -> None:
        await self._running.wait()
        if self.hold is not None:
            await self.hold.wait()

    def _sampled(self, body: Body, version: int, most: int | None = None) -> tuple[int, Any]:
        allowed = body.get("allowed_token_ids")
        if allowed and max(allowed) >= self.vocabulary:
            return 400, {"error": {"message": "allowed_token_ids contains out-of-vocab token id!"}}
        ids, token = [], sum(body["prompt"]) + version
        limit = body["max_tokens"] if most is None else most
        while len(ids) < limit and not (ids and ids[-1] in body["stop_token_ids"]):
            token %= self.vocabulary
            ids.append(token if not allowed else allowed[token % len(allowed)])
            token += 1
        logprob = -np.log(len(allowed)) if allowed and not self.raw_logprobs else -np.log(2)
        ended = "stop" if ids[-1] in body["stop_token_ids"] else "length"
        choice: Body = {
            "finish_reason": ended if most is None else "abort",
            "logprobs": {"token_logprobs": [logprob] * len(ids), "top_logprobs": []},
            "token_ids": ids if self.with_ids else None,
        }
        if "prompt_logprobs" in body:
            scored = [{str(i): {"logprob": -float(k)}} for k, i in enumerate(body["prompt"])]
            choice["prompt_logprobs"] = [None, *scored[1:]]
        return 200, {"choices": [choice]}


async def _read(reader: asyncio.StreamReader) -> tuple[str, str, Body] | None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    method, path, _ = lines[0].split(" ")
    length = next(
        (int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length")), 0
    )
    content = await reader.readexactly(length)
    return method, path, json.loads(content) if content else {}


def _write(writer: asyncio.StreamWriter, status: int, content: bytes) -> None:
    writer.write(response(status, content))


def response(status: int, content: bytes) -> bytes:
    """Return the bytes of an HTTP response."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + content


@pytest.fixture
async def make_peer() -> AsyncIterator[Callable[..., Any]]:
    """Start small servers, and stop them at the end."""
    peers: list[Peer] = []

    async def make(**settings: Any) -> Peer:
        peers.append(await Peer(**settings).start())
        return peers[-1]

    yield make
    for peer in peers:
        await peer.stop()


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A model directory as far as the engine reads it: sizes and two weights."""
    import torch
    from safetensors.torch import save_file

    folder = tmp_path / "model"
    folder.mkdir()
    config = {"vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"a": torch.zeros(2, 3), "b": torch.ones(4)}, folder / "model.safetensors")
    return folder
