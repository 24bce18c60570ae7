"""Weights as a model directory that servers read: in shared memory, or on a disk that all see."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from agentrl.engines.base import Adapters, Weights
from agentrl.engines.vllm.client import VllmClient
from agentrl.engines.vllm.transports.base import Staged, together
from agentrl.engines.vllm.weight_folder import WeightFolder
from agentrl.errors import ConfigError


class FolderTransport:
    """Has servers read weights in place of their own, and forget what older ones computed."""

    stops_sampling = True
    takes_adapters = False

    def __init__(self, folder: WeightFolder, name: str) -> None:
        """Write to a folder; servers call their model by this name."""
        self._folder = folder
        self._name = name

    def stage(self, version: int, weights: Weights) -> Staged:
        """Write weights, or check a model directory; see `Transport`."""
        if isinstance(weights, Adapters):
            raise ConfigError("this engine serves whole weights: give them with adapters merged in")
        if isinstance(weights, Path):
            return Staged(version, self._folder.check(weights), self._name)
        return Staged(version, self._folder.write(version, weights), self._name)

    async def restore(self, client: VllmClient, staged: Staged) -> None:
        """Have one server load staged weights; see `Transport`."""
        await load_folder(client, staged)

    async def send(
        self, clients: Sequence[VllmClient], staged: Staged
    ) -> Sequence[BaseException | None]:
        """Have servers load staged weights; see `Transport`."""
        return await together(lambda client: self.restore(client, staged), clients)

    async def retire(self, clients: Sequence[VllmClient], staged: Staged) -> None:
        """Delete staged weights; see `Transport`."""
        del clients
        await asyncio.to_thread(self._folder.drop, staged.folder)

    def close(self) -> None:
        """Delete everything staged."""
        self._folder.close()


async def load_folder(client: VllmClient, staged: Staged) -> None:
    """Have a server read weights from a directory.

    It samples nothing meanwhile, and its prefix cache is emptied.
    """
    await client.control("/pause", mode="wait", clear_cache="true")
    arguments = {"weights_path": str(staged.folder)}
    await client.control("/collective_rpc", {"method": "reload_weights", "kwargs": arguments})
    await renew_head(client)
    await client.control("/update_weight_version", {"new_version": str(staged.version)})
    await client.control("/resume")


async def renew_head(client: VllmClient) -> None:
    """Have a server that multiplies by a copy of the head make it anew from updated weights."""
    if client.packs_head:
        await client.control("/collective_rpc", {"method": "renew_head"})
