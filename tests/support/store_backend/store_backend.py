"""A backend for vLLM's weight transfer that needs no GPU: bytes go through a `TCPStore`.

With it the whole protocol of the native transports runs against a real server on a CPU: only the
data path of NCCL and CUDA IPC is left out. The server finds it as a plugin, on its PYTHONPATH.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import torch
from torch.distributed import TCPStore
from vllm.distributed.weight_transfer.base import (
    TrainerInitInfo,
    TrainerWeightTransferEngine,
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import (
    WeightTransferEngineFactory,
    WeightTransferTrainerFactory,
)
from vllm.model_executor.model_loader.reload import (
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)

NAME = "store"
_PATIENCE = timedelta(seconds=60)


@dataclass
class StoreInit(WeightTransferInitInfo):
    port: int = 0
    rank_offset: int = 1


@dataclass
class StoreUpdate(WeightTransferUpdateInfo):
    names: list[str] = field(default_factory=list)
    dtypes: list[str] = field(default_factory=list)
    shapes: list[list[int]] = field(default_factory=list)


class StoreReceiver(WeightTransferEngine[StoreInit, StoreUpdate]):
    """The server's side."""

    init_info_cls = StoreInit
    update_info_cls = StoreUpdate
    store: TCPStore | None = None

    def init_transfer_engine(self, init_info: StoreInit) -> None:
        self.store = TCPStore("127.0.0.1", init_info.port, is_master=False, timeout=_PATIENCE)
        self.store.set(f"joined/{init_info.rank_offset}", b"1")

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: StoreUpdate) -> None:
        assert self.store is not None
        rows = zip(update_info.names, update_info.dtypes, update_info.shapes, strict=True)
        for name, dtype, shape in rows:
            content = bytearray(self.store.get(name))
            tensor = torch.frombuffer(content, dtype=getattr(torch, dtype)).reshape(shape)
            self.model.load_weights([(name, tensor)])

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        self.store = None


@dataclass
class StoreTrainerInit(TrainerInitInfo):
    backend: ClassVar[str] = NAME


class StoreSender(TrainerWeightTransferEngine[StoreTrainerInit]):
    """The learner's side."""

    init_info_cls = StoreTrainerInit
    store: TCPStore

    @classmethod
    def trainer_init(
        cls, init_info: StoreTrainerInit, *, client: Any, source: Any = None
    ) -> StoreSender:
        sender = cls(client=client, source=source)
        sender.store = TCPStore(
            "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=_PATIENCE
        )
        client.init_weight_transfer_engine({"port": sender.store.port, "rank_offset": 1})
        return sender

    def send_weights(self) -> None:
        assert self.source is not None
        self.client.start_weight_update()
        sent = list(self.source)
        for name, tensor in sent:
            self.store.set(name, tensor.contiguous().numpy().tobytes())
        self.client.update_weights(
            {
                "names": [name for name, _ in sent],
                "dtypes": [str(tensor.dtype).removeprefix("torch.") for _, tensor in sent],
                "shapes": [list(tensor.shape) for _, tensor in sent],
            }
        )
        self.client.finish_weight_update()


def register() -> None:
    """Make both sides known to vLLM, in whichever process this runs; once."""
    if NAME not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(NAME, StoreReceiver)
        WeightTransferTrainerFactory.register_engine(NAME, StoreSender)
