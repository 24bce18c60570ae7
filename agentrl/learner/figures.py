"""The figures reported about an update, gathered pack by pack."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch


@dataclass(slots=True)
class Figures:
    """Sums over the tokens of an update; nothing is moved off the device before `report`."""

    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    tokens: int = 0
    of_minibatches: dict[str, list[float]] = field(default_factory=dict)
    """Values that hold for a whole minibatch, one per minibatch."""

    def add(self, **values: torch.Tensor) -> None:
        """Add token values (or their sums)."""
        for name, value in values.items():
            value = value.detach().double().sum()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def note(self, **values: float) -> None:
        """Note values of a whole minibatch."""
        for name, value in values.items():
            self.of_minibatches.setdefault(name, []).append(value)

    def mean(self, name: str) -> float:
        """Return the mean over tokens of a value that was added."""
        return float(self.sums[name]) / self.tokens if name in self.sums and self.tokens else 0.0

    def total(self, name: str) -> float:
        """Return the sum of a value that was added."""
        return float(self.sums[name]) if name in self.sums else 0.0

    def report(self) -> dict[str, float]:
        """Return the figures of a policy-gradient update."""
        figures = {
            "kl_old": self.mean("kl_old"),
            "kl_reference": self.mean("kl_reference"),
            "clip_fraction": self.mean("clipped"),
            "entropy": self.mean("entropy"),
        }
        if "importance_cut" in self.sums:
            figures["importance_cut"] = self.mean("importance_cut")
        means = {name: math.fsum(v) / len(v) for name, v in self.of_minibatches.items()}
        return figures | means
