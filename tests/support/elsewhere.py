"""A second device made of the CPU's memory: it refuses what a GPU would refuse.

Tensors on `elsewhere:0` hold a CPU tensor that computes for them, so figures must equal the CPU's.
An operation that mixes devices fails, and so does reading one as numpy without `.cpu()`. It says
nothing of kernels or speed. Registers itself with PyTorch for good: only for processes of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "elsewhere"
_TWO_DEVICES = {"aten::copy_", "aten::index", "aten::index_put_", "aten::_to_copy"}
"""Operations that take tensors of several devices on a GPU, too: copies, and indices."""


class _Backend(_DummyBackendModule):
    _initialized = False

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())


class _Elsewhere(torch.Tensor):
    """A tensor that says it is elsewhere."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> _Elsewhere:
        made: _Elsewhere = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(function, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """Within it, tensors can be made on `elsewhere:0`."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(function, args, kwargs or {})


def _compute(function: Any, args: Any, kwargs: Any) -> Any:
    name = function.name().partition(".")[0]
    tensors = [a for a in pytree.arg_tree_leaves(*args, **kwargs) if isinstance(a, torch.Tensor)]
    elsewhere = [tensor for tensor in tensors if isinstance(tensor, _Elsewhere)]
    # A GPU, too, takes a single number from the CPU.
    strangers = [t for t in tensors if not isinstance(t, _Elsewhere) and t.dim()]
    if elsewhere and strangers and name not in _TWO_DEVICES:
        raise RuntimeError(f"{function} mixes devices")
    arguments, named = pytree.tree_map(_inner, (tuple(args), kwargs))
    result = function(*arguments, **named)
    device = kwargs.get("device")
    is_here = device.type != NAME if device is not None else not elsewhere
    if is_here or (name == "aten::copy_" and not isinstance(args[0], _Elsewhere)):
        return result
    known = {id(tensor.inner): tensor for tensor in elsewhere}

    def outer(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return known[id(value)] if id(value) in known else _Elsewhere(value)

    return pytree.tree_map(outer, result)


def _inner(value: Any) -> Any:
    if isinstance(value, _Elsewhere):
        return value.inner
    is_device = isinstance(value, torch.device) and value.type == NAME
    return torch.device("cpu") if is_device else value
