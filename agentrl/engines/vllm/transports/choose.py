"""Which transport brings the weights, by what learner and servers can do."""

from __future__ import annotations

from typing import Any, Literal, cast

from agentrl.engines.base import Deployment
from agentrl.engines.vllm.command import ServerNeeds
from agentrl.engines.vllm.placement import server_gpus
from agentrl.engines.vllm.process import Say
from agentrl.engines.vllm.transports.adapters import AdapterTransport
from agentrl.engines.vllm.transports.base import Transport
from agentrl.engines.vllm.transports.folder import FolderTransport
from agentrl.engines.vllm.transports.native import NativeTransport
from agentrl.engines.vllm.weight_folder import WeightFolder
from agentrl.errors import ConfigError, did_you_mean

Name = Literal["lora", "folder", "ipc", "nccl"]
NAMES = ("auto", "lora", "folder", "ipc", "nccl")

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM can reserve room for."""


def choose(asked: str, deployment: Deployment, *, is_ours: bool) -> Name:
    """Return the transport for a deployment.

    Args:
        asked: One of `NAMES`.
        deployment: Where learner and engine are.
        is_ours: Whether we start the server, and so decide what it can do.

    Raises:
        ConfigError: There is no such transport, or it does not go with the deployment.
    """
    if asked not in NAMES:
        raise ConfigError(f"there is no transport {asked!r}; {did_you_mean(asked, NAMES)}")
    on_cuda = deployment.learner_device.startswith("cuda")
    if asked == "lora" and not deployment.adapter_rank:
        raise ConfigError("transport=lora brings adapters, but policy.lora_rank is 0; use folder")
    if asked in ("ipc", "nccl") and not on_cuda:
        raise ConfigError(
            f"transport={asked} goes from GPU to GPU, but the learner is on "
            f"{deployment.learner_device}; use folder"
        )
    if asked == "auto":
        return _best(deployment, on_cuda=on_cuda, is_ours=is_ours)
    return cast(Name, asked)


def _best(deployment: Deployment, *, on_cuda: bool, is_ours: bool) -> Name:
    if not is_ours:
        return "folder"
    if deployment.adapter_rank:
        return "lora"
    if on_cuda:
        return "ipc" if deployment.shares_device else "nccl"
    return "folder"


def needs(transport: Name, deployment: Deployment, *, on_cuda: bool) -> ServerNeeds:
    """Return what a server must be started with for a transport.

    Args:
        transport: The transport.
        deployment: Where learner and engine are.
        on_cuda: Whether the server runs on GPUs.
    """
    arguments: dict[str, Any] = {}
    environment: dict[str, str] = {}
    if deployment.shares_device and on_cuda:
        # vLLM's own 0.92 would leave the learner no room.
        arguments |= {"enable_sleep_mode": True, "gpu_memory_utilization": 0.5}
    gpus = server_gpus(deployment)
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpus
    if transport == "lora":
        rank = next((r for r in _RANKS if r >= deployment.adapter_rank), deployment.adapter_rank)
        # Two at a time: after an update the last completions of the version before go on.
        arguments |= {"enable_lora": True, "max_lora_rank": rank, "max_loras": 2}
        # Left to itself vLLM adapts the head, too, and dies of scores that are asked for together.
        arguments["lora_target_modules"] = list(deployment.adapter_modules) or None
        environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if transport in ("ipc", "nccl"):
        arguments["weight_transfer_config"] = {"backend": transport}
    if transport == "ipc":
        # Handles of GPU memory come pickled, from us alone: the server listens on this machine.
        environment["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    return ServerNeeds(arguments, environment)


def build(transport: Name, folder: WeightFolder, name: str, *, fall_back: Say | None) -> Transport:
    """Return a transport.

    Args:
        transport: Which.
        folder: Where weights are written.
        name: The model's name in requests.
        fall_back: Told when one that was not asked for fails and another takes its place.
    """
    if transport == "lora":
        return AdapterTransport(folder, name)
    if transport in ("ipc", "nccl"):
        return NativeTransport(transport, folder, name, fall_back=fall_back)
    return FolderTransport(folder, name)
