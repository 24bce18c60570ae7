"""The trainer's side of vLLM's weight transfer, over one or several servers. Imports vLLM."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import torch
from vllm.distributed.weight_transfer.base import ParamMeta, TrainerInitInfo, WeightSource
from vllm.distributed.weight_transfer.clients import HTTPVLLMWeightSyncClient
from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

from agentrl.engines.vllm.client import error_text
from agentrl.engines.vllm.probe import connection_settings
from agentrl.errors import EngineFault, one_line

_SECONDS = 300.0
"""For a server to do one step; as long as one that hangs holds up the run."""
_LEAVE_SECONDS = 5.0


class Sender:
    """A group of one learner and the workers of all servers; its methods block."""

    def __init__(self, backend: str, urls: Sequence[str], weights: Mapping[str, Any]) -> None:
        """Meet the servers.

        Args:
            backend: A name that vLLM's trainer side knows: `nccl`, `ipc`.
            urls: The servers.
            weights: Such as will be sent; nothing is yet.

        Raises:
            EngineFault: They do not meet us.
        """
        self._source = Source()
        self._control = Control(urls)
        try:
            with _device_of(weights):
                self._engine = WeightTransferTrainerFactory.trainer_init(
                    INIT_INFOS[backend](self._control, weights),
                    client=self._control,
                    source=self._source,
                )
        # CUDA, NCCL and vLLM each fail in their own ways.
        except Exception as error:
            self._control.close()
            raise _fault(f"the {backend} group with the vLLM servers failed", error) from error
        # Once a server has failed the others wait for us, and we for it, for ever.
        self._control.when_failed = self._engine.shutdown

    def send(self, weights: Mapping[str, torch.Tensor], version: int) -> None:
        """Send weights to all servers; they serve them from then on.

        Raises:
            EngineFault: They could not be sent.
        """
        self._source.weights = weights
        self._control.version = version
        try:
            with _device_of(weights):
                self._engine.send_weights()
        except Exception as error:
            raise _fault("weights could not be sent to the vLLM servers", error) from error
        finally:
            self._source.weights = {}

    def close(self) -> None:
        """Leave the group."""
        self._engine.shutdown()
        self._control.close()


class Source(WeightSource):  # type: ignore[misc]
    """The live tensors of this moment."""

    weights: Mapping[str, torch.Tensor]

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.weights = {}

    def metadata(self) -> list[ParamMeta]:
        """Return names, types and shapes, in the order of iteration."""
        return [ParamMeta(n, t.dtype, tuple(t.shape)) for n, t in self.weights.items()]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield names and tensors."""
        yield from self.weights.items()


class Control:
    """The control calls of one transfer, to all servers at once; what vLLM calls a sync client."""

    def __init__(self, urls: Sequence[str]) -> None:
        """Talk to these servers."""
        self.version = 0
        """What the servers are told that the weights are."""
        self.when_failed: Callable[[], None] | None = None
        """Called when a server could not receive weights, while ours are perhaps still sent."""
        self._urls = list(urls)
        self._servers = [_Server(url, timeout=_SECONDS) for url in urls]
        self._threads = ThreadPoolExecutor(max(1, len(urls)))

    def world_sizes(self) -> list[int]:
        """Return how many workers each server has."""
        return [
            int(httpx.get(f"{url}/get_world_size", **connection_settings(url)).json()["world_size"])
            for url in self._urls
        ]

    def our_address(self) -> str:
        """Return the address under which the servers reach this machine."""
        place = urlsplit(self._urls[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            # Sends nothing: it only asks which of our addresses such a packet would come from.
            probe.connect((place.hostname, place.port or 80))
            return str(probe.getsockname()[0])

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Have all workers join; each server's ranks come after those of the one before."""
        infos = []
        for size in self.world_sizes():
            infos.append(init_info)
            if "rank_offset" in init_info:
                init_info = init_info | {"rank_offset": init_info["rank_offset"] + size}
        self._all(lambda server, info: server.init_weight_transfer_engine(info), infos)

    def start_weight_update(self) -> None:
        """Have all servers prepare."""
        self._all(lambda server, _: server.start_weight_update())

    def update_weights(self, update_info: Any) -> None:
        """Have all servers receive weights."""
        try:
            self._all(lambda server, _: server.update_weights(update_info))
        except Exception:
            if self.when_failed is not None:
                self.when_failed()
            raise

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Have all servers use what they received."""
        version = weight_version or str(self.version)
        self._all(lambda server, _: server.finish_weight_update(version))

    def close(self) -> None:
        """Have the servers leave."""
        # Those that are gone have left, and nobody waits for those that hang.
        for server in self._servers:
            server.timeout = _LEAVE_SECONDS
        with suppress(Exception):
            self._all(lambda server, _: server.shutdown_weight_transfer_engine())
        self._threads.shutdown(wait=False)

    def _all(self, call: Callable[[Any, Any], None], values: Sequence[Any] = ()) -> None:
        rows = zip(self._servers, values or [None] * len(self._servers), strict=True)
        # The first to fail is heard first: the others may wait for it.
        for outcome in as_completed([self._threads.submit(call, *row) for row in rows]):
            outcome.result()


class _Server(HTTPVLLMWeightSyncClient):  # type: ignore[misc]
    """vLLM's client of one server, on the connections that all else goes by: no proxies."""

    def _post(self, path: str, json: dict[str, Any] | None = None) -> None:
        reply = httpx.post(
            f"{self.base_url}/{path}",
            json=json,
            timeout=self.timeout,
            **connection_settings(self.base_url),
        )
        if reply.status_code >= 400:
            told = error_text(reply.content)
            raise EngineFault(f"{self.base_url} refused /{path} ({reply.status_code}): {told}")


def _device_of(weights: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Return a block in which the weights' GPU is the current one, as vLLM expects.

    Which is current goes by the thread, and ours is one of many.
    """
    device = next(iter(weights.values())).device
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _nccl(control: Control, weights: Mapping[str, Any]) -> TrainerInitInfo:
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

    from agentrl.engines.vllm.process import free_port

    del weights
    return NCCLTrainerInitInfo(
        master_address=control.our_address(),
        master_port=free_port(None),
        world_size=1 + sum(control.world_sizes()),
        rank=0,
    )


def _ipc(control: Control, weights: Mapping[str, Any]) -> TrainerInitInfo:
    from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

    del control
    # The buffer must hold the largest weight, often the embeddings: 1.1e9 bytes for a 7B model.
    largest = max(tensor.nbytes for tensor in weights.values())
    size = max(largest, IPCTrainerInitInfo.packed_buffer_size_bytes)
    return IPCTrainerInitInfo(packed=True, rank=0, packed_buffer_size_bytes=size)


InitInfo = Callable[[Control, Mapping[str, Any]], TrainerInitInfo]
INIT_INFOS: dict[str, InitInfo] = {"nccl": _nccl, "ipc": _ipc}
"""What the trainer's side of each backend wants to know."""


def _fault(what: str, error: Exception) -> EngineFault:
    reason = one_line(error, 300)
    return EngineFault(f"{what}: {reason}; with transport=folder weights go through shared memory")
