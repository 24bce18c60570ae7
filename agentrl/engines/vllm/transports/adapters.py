"""LoRA adapters, loaded beside those of earlier versions: nothing waits, no cache is emptied.

Each version has a name of its own, which is part of the key of the prefix cache: activations of one
version are never taken for those of another. What has begun goes on with the version it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from agentrl.engines.base import Adapters, Weights
from agentrl.engines.vllm.client import VllmClient
from agentrl.engines.vllm.transports.base import Staged, together
from agentrl.engines.vllm.weight_folder import WeightFolder
from agentrl.errors import ConfigError, EngineFault


class AdapterTransport:
    """Has servers load adapters under versioned names."""

    stops_sampling = False
    takes_adapters = True

    def __init__(self, folder: WeightFolder, name: str) -> None:
        """Write to a folder; names of versions begin with the model's name."""
        self._folder = folder
        self._name = name

    def stage(self, version: int, weights: Weights) -> Staged:
        """Write adapters; see `Transport`."""
        if not isinstance(weights, Adapters):
            raise ConfigError(
                "this engine serves adapters on its base weights; for whole weights set the engine "
                "option transport=folder"
            )
        folder = self._folder.write_adapters(version, weights)
        return Staged(version, folder, f"{self._name}-{folder.name}")

    async def restore(self, client: VllmClient, staged: Staged) -> None:
        """Have one server load staged adapters; see `Transport`."""
        body = {"lora_name": staged.name, "lora_path": str(staged.folder)}
        await client.control("/v1/load_lora_adapter", body)

    async def send(
        self, clients: Sequence[VllmClient], staged: Staged
    ) -> Sequence[BaseException | None]:
        """Have servers load staged adapters; see `Transport`."""
        return await together(lambda client: self.restore(client, staged), clients)

    async def retire(self, clients: Sequence[VllmClient], staged: Staged) -> None:
        """Have servers forget adapters; see `Transport`."""
        for client in clients:
            # One that was started anew meanwhile has never heard of them.
            with suppress(EngineFault):
                await client.control("/v1/unload_lora_adapter", {"lora_name": staged.name})
        await asyncio.to_thread(self._folder.drop, staged.folder)

    def close(self) -> None:
        """Delete everything staged."""
        self._folder.close()
