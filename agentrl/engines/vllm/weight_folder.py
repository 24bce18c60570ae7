"""Where weights are written for servers to read: shared memory, or a directory that all see."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentrl.engines.base import Adapters
from agentrl.engines.vllm.reference import Reference, Shapes, read_shapes
from agentrl.errors import EngineFault, ModelError, did_you_mean

_SHARED_MEMORY = Path("/dev/shm")


class WeightFolder:
    """Writes weights where servers can read them; what it wrote is gone when we are."""

    def __init__(
        self, reference: Reference, folder: str | Path | None = None, *, dtype: str | None = None
    ) -> None:
        """Prepare to write.

        Args:
            reference: The served model: only its weights are taken, and all of them.
            folder: Where to write; None: shared memory, or a temporary directory without it.
            dtype: The type that they are served in, such as `bfloat16`; None: they keep theirs.
        """
        self._reference = reference
        self._parent = Path(folder) if folder else None
        self._dtype = dtype
        self._folder: Path | None = None
        self._numbers = itertools.count()

    def write(self, version: int, weights: Mapping[str, Any]) -> Path:
        """Return a new directory with these weights.

        Raises:
            ModelError: They are not the served model's.
            EngineFault: They cannot be written there, or do not fit.
        """
        return self._write(version, self.stored(weights), "model.safetensors")

    def write_adapters(self, version: int, adapters: Adapters) -> Path:
        """Return a new directory with these adapters, in the layout of peft.

        Raises:
            EngineFault: They cannot be written there, or do not fit.
        """
        import torch

        tensors = {
            name: torch.as_tensor(value).detach() for name, value in adapters.weights.items()
        }
        folder = self._write(version, tensors, "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(dict(adapters.settings)))
        return folder

    def _write(self, version: int, tensors: Mapping[str, Any], name: str) -> Path:
        # Never under a name that was used before: caches of the server may go by it.
        folder = self._place() / f"version-{version}-{next(self._numbers)}"
        size = sum(tensor.nbytes for tensor in tensors.values())
        try:
            folder.mkdir()
            free = shutil.disk_usage(folder).free
            if free < size * 1.02:
                raise OSError(f"{size >> 20} MiB are needed, {free >> 20} MiB free")
            _save(tensors, folder / name)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise EngineFault(
                f"cannot write weights for the server to {folder}: {error}; name another place "
                "with the engine option weights_folder"
            ) from None
        return folder

    def stored(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Return the weights under the names that the served model stores.

        Raises:
            ModelError: They are not the served model's.
        """
        import torch

        if not weights:
            raise ModelError(
                "a server shares no weights with the learner: load_weights needs all of them"
            )
        tensors = {name: torch.as_tensor(value).detach() for name, value in weights.items()}
        expected = self._reference.shapes
        if expected is None:
            return self._served(tensors)
        stored = {name: tensor for name, tensor in tensors.items() if name in expected}
        shapes = {name: tuple(tensor.shape) for name, tensor in stored.items()}
        shared = {tensor.data_ptr() for tensor in stored.values()}
        # Tied weights come under two names, and are stored under one.
        foreign = set(tensors) - set(stored)
        shapes |= {name: () for name in foreign if tensors[name].data_ptr() not in shared}
        _compare(shapes, expected)
        return self._served(stored)

    def _served(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Return weights in the type that they are served in: half of float32 is for nothing."""
        import torch

        kind = getattr(torch, self._dtype or "", None)
        if not isinstance(kind, torch.dtype):
            return tensors
        return {name: tensor.to(kind) for name, tensor in tensors.items()}

    def check(self, folder: Path) -> Path:
        """Return a model directory of the user's, if its weights are the served model's.

        Raises:
            ModelError: They are not.
        """
        shapes = read_shapes(folder) if folder.is_dir() else None
        if shapes is None:
            raise ModelError(f"{folder} holds no safetensors files to load weights from")
        expected = self._reference.shapes
        if expected is not None:
            _compare(shapes, expected)
        return folder.resolve()

    def drop(self, folder: Path) -> None:
        """Delete a directory that `write` made; others stay."""
        if self._folder is not None and folder.parent == self._folder:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Delete everything written."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _place(self) -> Path:
        if self._folder is None:
            parent = self._parent or _default_parent()
            try:
                parent.mkdir(parents=True, exist_ok=True)
                _sweep(parent)
                made = tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=parent)
            except OSError as error:
                raise EngineFault(
                    f"cannot make a directory for weights in {parent}: {error}; name another "
                    "place with the engine option weights_folder"
                ) from None
            self._folder = Path(made)
            weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return self._folder


def _compare(given: Mapping[str, tuple[int, ...]], expected: Shapes) -> None:
    """Raise `ModelError` unless names and shapes are the same."""
    for name, shape in given.items():
        if name not in expected:
            raise ModelError(f"the policy has no weight {name!r}; {did_you_mean(name, expected)}")
        if shape != expected[name]:
            raise ModelError(
                f"weight {name!r} has shape {shape}, but the policy's has {expected[name]}"
            )
    missing = sorted(set(expected) - set(given))
    if missing:
        raise ModelError(f"{len(missing)} weights are missing, the first is {missing[0]!r}")


def _save(tensors: Mapping[str, Any], file: Path) -> None:
    from safetensors.torch import save_file

    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        # The format stores no tensor twice: one that is shared is copied.
        tensor = tensor.cpu().contiguous()
        separate[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    save_file(separate, file, metadata={"format": "pt"})


def _default_parent() -> Path:
    usable = _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK | os.X_OK)
    return _SHARED_MEMORY if usable else Path(tempfile.gettempdir())


def _prefix() -> str:
    """Begin names of directories whose process ids are ours to judge.

    Other machines and containers write to the same disk, with process ids of their own.
    """
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"agentrl-weights-{socket.gethostname()}-{space}-"


def _sweep(parent: Path) -> None:
    """Delete what processes left behind that were killed: it would fill the memory."""
    prefix = _prefix()
    for left in parent.glob(f"{prefix}*-*"):
        pid = left.name.removeprefix(prefix).partition("-")[0]
        with suppress(OSError):
            if pid.isdigit() and left.stat().st_uid == os.getuid() and not _is_alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
