"""Where a policy's weights are."""

from __future__ import annotations

import torch

from agentrl.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """Return the device that `policy.device` names, once a tensor could be made there.

    Args:
        name: `auto`, or what PyTorch calls a device: `cpu`, `cuda`, `cuda:1`.

    Raises:
        ConfigError: PyTorch knows no such device, or this machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # An unknown word is a RuntimeError, a build without CUDA an AssertionError.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"policy.device={name} cannot be used here: {reason[:80]}; there are: "
            f"{', '.join(_devices())} (or auto)"
        ) from None
    return device


def _devices() -> list[str]:
    """Return the devices of this machine that policies are trained on."""
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
