"""Servers that die, hang and come back, in the ways that small servers can be made to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.engines.base import Request, Sampling
from agentrl.engines.vllm import client as client_module
from agentrl.engines.vllm import servers as servers_module
from agentrl.engines.vllm.engine import VllmEngine
from agentrl.errors import EngineFault

WEIGHTS = {"a": torch.zeros(2, 3), "b": torch.ones(4)}


def request(*prompt: int, session: str = "") -> Request:
    return Request(np.array(prompt, np.int32), Sampling(max_tokens=3), session)


@pytest.fixture
async def make_engine(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_module, "_CONNECT_PAUSES", (0.0,))
    monkeypatch.setattr(servers_module, "_ASK_AGAIN_SECONDS", 0.02)
    engines: list[VllmEngine] = []

    async def make(*peers: Any, **options: Any) -> tuple[VllmEngine, list[str]]:
        told: list[str] = []
        options = {"weights_folder": tmp_path / "w", "version": 1, "say": told.append, **options}
        urls = [peer.url for peer in peers]
        engines.append(await asyncio.to_thread(VllmEngine, model_folder, urls=urls, **options))
        for peer in peers:
            peer.seen.clear()
        return engines[-1], told

    yield make
    for engine in engines:
        await engine.close()


async def killed(peer: Any) -> None:
    """End a peer, the connections that it has included."""
    await peer.stop()
    for writer in list(peer.writers):
        writer.transport.abort()


async def test_what_a_dying_server_worked_on_is_sampled_again_when_it_is_back(
    make_peer, make_engine
) -> None:
    peer = await make_peer()
    engine, told = await make_engine(peer)
    await engine.load_weights(5, WEIGHTS)
    peer.hold = asyncio.Event()
    running = [asyncio.create_task(engine.generate(request(i, session=f"g/{i}"))) for i in range(6)]
    while peer.running < 6:
        await asyncio.sleep(0.01)
    await killed(peer)
    late = asyncio.create_task(engine.generate(request(9)))
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in [*running, late])
    peer.updates, peer.hold = 0, None  # a new process has the weights of its model directory
    await peer.start()
    completions = await asyncio.gather(*running, late)
    # The id after a prompt is its sum plus the number of updates: it had them before it was used.
    assert [c.token_ids[0] for c in completions] == [1, 2, 3, 4, 5, 6, 10]
    assert {c.policy_version for c in completions} == {5}
    assert len(told) == 2
    assert "lost a vLLM server" in told[0]
    assert "is back" in told[1]
    assert engine.figures()["engine/restarts"] == 1


async def test_an_update_goes_on_while_a_server_is_away(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine, _ = await make_engine(peer)
    await killed(peer)
    running = asyncio.create_task(engine.generate(request(1)))
    await asyncio.sleep(0.05)
    await engine.load_weights(2, WEIGHTS)
    await engine.load_weights(3, WEIGHTS)
    assert peer.updates == 0
    await peer.start()
    assert (await running).policy_version == 3
    assert peer.updates == 1


async def test_a_server_that_dies_of_an_update_gets_it_when_it_is_back(
    make_peer, make_engine
) -> None:
    peer = await make_peer()
    engine, _ = await make_engine(peer)
    peer.fault = lambda path, body: b"" if path == "/collective_rpc" else None
    await engine.load_weights(2, WEIGHTS)
    assert peer.updates == 0
    peer.fault = None
    completion = await engine.generate(request(1))
    assert (completion.policy_version, completion.token_ids[0]) == (2, 2)


async def test_the_others_take_over(make_peer, make_engine) -> None:
    peers = [await make_peer(), await make_peer()]
    engine, _ = await make_engine(*peers)
    for session in "ab":
        await engine.generate(request(1, session=session))
    await killed(peers[0])
    for session in "ab":
        assert (await engine.generate(request(1, session=session))).policy_version == 1
    await engine.load_weights(2, WEIGHTS)
    assert [peer.updates for peer in peers] == [0, 1]
    await peers[0].start()
    while engine.figures()["engine/restarts"] < 1:
        await asyncio.sleep(0.01)
    # It came back with the weights that the other one has.
    assert [peer.updates for peer in peers] == [1, 1]
    for session in "cd":
        assert (await engine.generate(request(1, session=session))).token_ids[0] == 2


async def test_a_server_that_makes_no_progress_is_lost(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine, told = await make_engine(peer, stall_seconds=0.3)
    peer.hold = asyncio.Event()
    running = asyncio.create_task(engine.generate(request(1)))
    while not told:
        await asyncio.sleep(0.01)
    assert "1 requests and made no progress" in told[0]
    peer.hold.set()
    assert (await running).token_ids[0] == 1


async def test_a_server_that_hangs_in_an_update_is_lost(make_peer, make_engine) -> None:
    async def hang(path: str, body: Any) -> None:
        if path == "/collective_rpc":
            peer.fault = None
            await asyncio.Event().wait()

    peer = await make_peer()
    engine, told = await make_engine(peer, stall_seconds=0.3)
    peer.fault = hang
    await engine.load_weights(2, WEIGHTS)
    assert "1 requests and made no progress" in told[0]
    completion = await engine.generate(request(1))
    assert (completion.policy_version, completion.token_ids[0]) == (2, 2)


async def test_a_slow_server_that_makes_progress_is_not_lost(make_peer, make_engine) -> None:
    tokens = 0

    def metrics(path: str, body: Any) -> bytes | None:
        nonlocal tokens
        if path != "/metrics":
            return None
        tokens += 1
        line = b"vllm:generation_tokens_total %d" % tokens
        return b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%s" % (len(line), line)

    peer = await make_peer(fault=metrics)
    engine, told = await make_engine(peer, stall_seconds=0.2)
    peer.hold = asyncio.Event()
    running = asyncio.create_task(engine.generate(request(1)))
    while tokens < 20:
        await asyncio.sleep(0.01)
    assert not told
    peer.hold.set()
    await running


async def test_a_server_that_never_comes_back_is_one_clear_line(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine, _ = await make_engine(peer, start_seconds=0.05)
    await killed(peer)
    for _ in range(2):
        with pytest.raises(EngineFault, match="5 times in a row, in vain: no server") as caught:
            await engine.generate(request(1))
        assert "\n" not in str(caught.value)


async def test_a_request_that_kills_servers_is_given_up(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine, _ = await make_engine(peer)
    peer.fault = lambda path, body: b"" if body.get("prompt") == [13] else None
    deadly = asyncio.create_task(engine.generate(request(13)))
    while not deadly.done():
        # Others get their answers, so that the server counts as well in between.
        assert (await engine.generate(request(1))).token_ids[0] == 1
    with pytest.raises(EngineFault, match="3 times with one request"):
        await deadly


async def test_closing_ends_the_wait_for_a_server(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine, _ = await make_engine(peer)
    await killed(peer)
    running = asyncio.create_task(engine.generate(request(1)))
    await asyncio.sleep(0.1)
    await engine.close()
    with pytest.raises(EngineFault, match="closed"):
        await running
