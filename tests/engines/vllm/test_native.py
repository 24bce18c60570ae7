"""Transfers from GPU to GPU: who is in a group, and what becomes of one that fails.

The data path is left out here; `test_served_updates` has it, on a real server.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.engines.vllm import client as client_module
from agentrl.engines.vllm.client import Lost, VllmClient
from agentrl.engines.vllm.reference import read_reference
from agentrl.engines.vllm.transports.native import NativeTransport
from agentrl.engines.vllm.weight_folder import WeightFolder
from agentrl.errors import EngineFault

WEIGHTS = {"a": torch.zeros(2, 3), "b": torch.ones(4)}


class Group:
    """Takes the place of vLLM's sender; `made` has all groups."""

    made: list[Group]
    fault: Callable[[], EngineFault | None] = staticmethod(lambda: None)

    def __init__(self, backend: str, urls: Sequence[str], weights: Mapping[str, Any]) -> None:
        assert urls
        self.sent: list[int] = []
        self.is_open = True
        Group.made.append(self)

    def send(self, weights: Mapping[str, Any], version: int) -> None:
        assert self.is_open
        fault = Group.fault()
        if fault is not None:
            raise fault
        self.sent.append(version)

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def make_transport(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_module, "_CONNECT_PAUSES", (0.0,))
    monkeypatch.setattr(Group, "made", [], raising=False)
    name = "agentrl.engines.vllm.transports.sender"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(Sender=Group))

    def make(fall_back: Callable[[str], None] | None = None) -> NativeTransport:
        folder = WeightFolder(read_reference(model_folder), tmp_path / "weights")
        return NativeTransport("nccl", folder, "policy", fall_back=fall_back)

    return make


def client_of(peer: Any) -> VllmClient:
    return VllmClient(peer.url, in_flight=4, seconds=60)


async def test_a_server_that_is_back_is_met_anew(make_peer, make_transport) -> None:
    peer, transport = await make_peer(), make_transport()
    for version, client in enumerate((client_of(peer), client_of(peer))):
        for _ in range(2):
            staged = transport.stage(version, WEIGHTS)
            assert list(await transport.send([client], staged)) == [None]
        await client.close()
    assert [group.sent for group in Group.made] == [[0, 0], [1, 1]]
    assert [group.is_open for group in Group.made] == [False, True]
    transport.close()
    assert not Group.made[-1].is_open


async def test_a_copy_of_the_weights_is_let_go_once_it_is_sent(make_peer, make_transport) -> None:
    peer, transport = await make_peer(), make_transport()
    client, memory = client_of(peer), np.zeros((2, 3), np.float32)
    gone = weakref.ref(memory)
    staged = transport.stage(1, {"a": torch.from_numpy(memory), "b": torch.ones(4)})
    del memory
    await transport.send([client], staged)
    gc.collect()
    assert gone() is None
    transport.close()
    await client.close()


async def test_without_servers_nobody_is_met(make_transport) -> None:
    transport = make_transport()
    assert list(await transport.send([], transport.stage(1, WEIGHTS))) == []
    assert not Group.made
    transport.close()


async def test_a_server_that_dies_in_a_transfer_is_lost_and_the_backend_stays(
    make_peer, make_transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, well = await make_peer(), await make_peer()
    clients = [client_of(dying), client_of(well)]
    transport = make_transport()

    def die() -> EngineFault:
        dying._server.close()
        for writer in list(dying.writers):
            dying._server.get_loop().call_soon_threadsafe(writer.transport.abort)
        return EngineFault("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Group, "fault", staticmethod(die))
        gone, there = await transport.send(clients, transport.stage(1, WEIGHTS))
    assert isinstance(gone, Lost)
    assert there is None
    paths = [path for path, _ in well.seen]
    # What was begun is ended before the copy is read.
    assert paths.index("/finish_weight_update") < paths.index("/collective_rpc")
    assert well.updates == 1
    assert not Group.made[0].is_open
    assert list(await transport.send(clients[1:], transport.stage(2, WEIGHTS))) == [None]
    assert Group.made[1].sent == [2]
    assert well.updates == 1
    transport.close()
    for client in clients:
        await client.close()


async def test_the_first_server_to_fail_is_heard_while_others_wait(make_peer) -> None:
    pytest.importorskip("vllm")
    from agentrl.engines.vllm.transports.sender import Control

    hold = asyncio.Event()

    async def wait(path: str, body: Any) -> None:
        await hold.wait()

    waiting = await make_peer(fault=wait)
    failing = await make_peer(missing=("/update_weights",))
    control, told = Control([waiting.url, failing.url]), []
    control.when_failed = lambda: told.append("failed")
    with pytest.raises(EngineFault, match=r"refused /update_weights \(404\): Not Found"):
        await asyncio.wait_for(asyncio.to_thread(control.update_weights, {}), 30)
    assert told == ["failed"]
    hold.set()
    await asyncio.to_thread(control.close)


def test_the_buffer_holds_the_largest_weight() -> None:
    pytest.importorskip("vllm")
    from agentrl.engines.vllm.transports.sender import INIT_INFOS, Control

    embeddings = torch.empty(152_064, 3584, dtype=torch.bfloat16, device="meta")
    for weights, least in ((WEIGHTS, 1), (WEIGHTS | {"e": embeddings}, embeddings.nbytes)):
        info = INIT_INFOS["ipc"](Control([]), weights)
        assert vars(info)["packed_buffer_size_bytes"] >= least
