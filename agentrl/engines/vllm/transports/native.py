"""vLLM's own weight transfer: from the learner's GPU into the servers', by NCCL or CUDA IPC.

The data path is vLLM's (`vllm.distributed.weight_transfer`, trainer side); here are the control
calls to one or several servers, and the copy that a server started anew is restored from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agentrl.engines.base import Weights
from agentrl.engines.vllm.client import VllmClient
from agentrl.engines.vllm.process import Say
from agentrl.engines.vllm.transports.base import Staged, together
from agentrl.engines.vllm.transports.folder import FolderTransport, renew_head
from agentrl.engines.vllm.weight_folder import WeightFolder
from agentrl.errors import EngineFault, MissingExtraError

if TYPE_CHECKING:
    from agentrl.engines.vllm.transports.sender import Sender


class NativeTransport(FolderTransport):
    """Has servers receive weights straight from the learner's memory."""

    def __init__(
        self, backend: str, folder: WeightFolder, name: str, *, fall_back: Say | None = None
    ) -> None:
        """Send by one of vLLM's backends.

        Args:
            backend: `nccl` or `ipc`.
            folder: Where the copy for servers that are started anew is written.
            name: What servers call their model.
            fall_back: Told when the backend fails; from then on servers read the copy. None: its
                failure is an error.
        """
        super().__init__(folder, name)
        self._backend = backend
        self._fall_back = fall_back
        self._has_failed = False
        self._weights: Mapping[str, Any] | None = None
        self._sender: Sender | None = None
        self._members: list[VllmClient] = []

    def stage(self, version: int, weights: Weights) -> Staged:
        """Write the copy, and remember the live weights; see `Transport`."""
        self._weights = None
        if isinstance(weights, Mapping):
            self._weights = weights = self._folder.stored(weights)
        return super().stage(version, weights)

    async def send(
        self, clients: Sequence[VllmClient], staged: Staged
    ) -> Sequence[BaseException | None]:
        """Send the live weights to all servers together; see `Transport`."""
        # Not kept: they are often a copy, and would take the learner's memory while it learns.
        weights, self._weights = self._weights, None
        if weights is None or self._has_failed:
            return await together(lambda client: self.restore(client, staged), clients)
        stopped = await together(
            lambda client: client.control("/pause", mode="wait", clear_cache="true"), clients
        )
        well = [client for client, problem in zip(clients, stopped, strict=True) if not problem]
        if not well:
            return stopped
        try:
            await asyncio.to_thread(self._push, well, weights, staged)
        except EngineFault as fault:
            return await self._recover(clients, staged, fault)
        await together(renew_head, well)
        await together(lambda client: client.control("/resume"), well)
        return stopped

    def close(self) -> None:
        """Delete the copy and leave the group; see `Transport`."""
        self._leave()
        super().close()

    async def _recover(
        self, clients: Sequence[VllmClient], staged: Staged, fault: EngineFault
    ) -> Sequence[BaseException | None]:
        """Have servers whose transfer failed read the copy; one that is gone will when it is back.

        Raises:
            EngineFault: No server is gone, so it is the backend that failed, and it was asked for.
        """
        await asyncio.to_thread(self._leave)
        await together(_break_off, clients)
        if all(await asyncio.gather(*(client.is_well() for client in clients))):
            if self._fall_back is None:
                raise fault
            self._fall_back(f"{fault}; so they do from now on")
            self._has_failed = True
        return await together(lambda client: self.restore(client, staged), clients)

    def _leave(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _push(
        self, clients: Sequence[VllmClient], weights: Mapping[str, Any], staged: Staged
    ) -> None:
        # A group has fixed members: with a server gone or back it is made anew. Back, a server has
        # the same URL, but another client.
        if self._members != list(clients):
            self._leave()
        if self._sender is None:
            try:
                from agentrl.engines.vllm.transports.sender import Sender
            except ImportError:
                purpose = f"transport={self._backend}"
                raise MissingExtraError("vllm", "vllm", purpose) from None
            self._sender = Sender(self._backend, [client.url for client in clients], weights)
            self._members = list(clients)
        self._sender.send(weights, staged.version)


async def _break_off(client: VllmClient) -> None:
    """End a transfer that failed: layers that it half filled would mix with what is loaded next."""
    # Refused where the server still has it begun; where it has not, `finish` would be.
    with suppress(EngineFault):
        await client.control("/start_weight_update")
    await client.control("/finish_weight_update")
