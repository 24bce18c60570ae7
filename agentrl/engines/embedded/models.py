"""Loading models and weights for the embedded engine."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agentrl.errors import ConfigError, ModelError, did_you_mean


def load_model(name: str | Path, dtype: torch.dtype | None, device: torch.device | None) -> Any:
    """Return a causal language model from a directory or by its Hugging Face name.

    Raises:
        ModelError: There is no such model, or its files are damaged.
    """
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(str(name), dtype=dtype or "auto")
    except Exception as error:  # transformers raises a dozen kinds for damaged directories
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"cannot load a causal language model from {str(name)!r}: {reason}"
        ) from None
    return model.to(device) if device is not None else model


def adopt_model(model: Any, dtype: torch.dtype | None, device: torch.device | None) -> Any:
    """Return the module itself, or a copy where another type or device is asked for."""
    parameter = next(model.parameters())
    same_dtype = dtype is None or dtype == parameter.dtype
    same_device = device is None or device == parameter.device
    if same_dtype and same_device:
        return model
    return copy.deepcopy(model).to(dtype=dtype, device=device)


def resolve_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """Return the type behind a name such as `bfloat16`."""
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ConfigError(f"engine dtype {dtype!r} is not a type of weights; use float32, bfloat16")
    return found


def read_weights(directory: Path) -> Mapping[str, Tensor]:
    """Return the weights of a model directory.

    Raises:
        ModelError: There is no such directory, or its files are damaged.
    """
    if not directory.is_dir():
        raise ModelError(f"no model directory {str(directory)!r} to load weights from")
    weights: Mapping[str, Tensor] = load_model(directory, None, torch.device("cpu")).state_dict()
    return weights


@torch.no_grad()
def copy_weights(model: Any, weights: Mapping[str, Any]) -> None:
    """Copy named weights into the module; those it already shares are left alone.

    Raises:
        ModelError: A name or shape is foreign, or a weight is missing.
    """
    own: dict[str, Tensor] = model.state_dict(keep_vars=True)
    _check(own, weights)
    for name, value in weights.items():
        source = torch.as_tensor(value)
        if source.data_ptr() != own[name].data_ptr():
            own[name].copy_(source)


def _check(own: Mapping[str, Tensor], weights: Mapping[str, Any]) -> None:
    for name, value in weights.items():
        if name not in own:
            raise ModelError(f"the policy has no weight {name!r}; {did_you_mean(name, own)}")
        if tuple(value.shape) != tuple(own[name].shape):
            raise ModelError(
                f"weight {name!r} has shape {tuple(value.shape)}, "
                f"but the policy's has {tuple(own[name].shape)}"
            )
    given = {own[name].data_ptr() for name in weights}
    missing = [name for name, tensor in own.items() if tensor.data_ptr() not in given]
    if missing:
        raise ModelError(f"{len(missing)} weights are missing, the first is {missing[0]!r}")
