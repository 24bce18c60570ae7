"""Keys and values of all cached sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_BLOCK = 128
"""Slots are lengthened by multiples of this, so that growth (which copies) stays rare."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Consecutive ids of one sequence that go through the model together."""

    slot: int
    start: int
    """How many ids of the sequence the pool holds already."""
    ids: npt.NDArray[np.int32]
    """Shape [n], n ≥ 1."""
    keep: int
    """How many of the last positions' logits are wanted."""

    @property
    def end(self) -> int:
        """How many ids the pool holds afterwards."""
        return self.start + len(self.ids)


class KeyValuePool:
    """One tensor of keys and one of values per layer, shape [slots, heads, length, head size].

    Layers are allocated when first written, in the shape and type the model gives.
    """

    def __init__(self, *, zeroed: bool) -> None:
        """Start empty.

        Args:
            zeroed: Whether what no sequence has written reads as zero. Needed where padding is
                read: masked values are multiplied by zero, and zero times NaN is NaN. Without it
                a CPU reserves memory but does not touch it before it is used.
        """
        self.zeroed = zeroed
        self.slots = 0
        self.length = 0
        self.rows: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        """Per layer, each slot's keys and values, shape [1, heads, length, head size]."""
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def ensure(self, slots: int, length: int) -> None:
        """Make room for `slots` sequences of `length` ids."""
        if slots <= self.slots and length <= self.length:
            return
        if slots > self.slots:
            self.slots = max(slots, self.slots + self.slots // 2)
        if length > self.length:
            grown = max(length, self.length + self.length // 2)
            self.length = -(-grown // _BLOCK) * _BLOCK
        for layer, (keys, values) in self._layers.items():
            self._install(layer, self._grown(keys), self._grown(values))

    def write(
        self, layer: int, slots: Tensor, positions: Tensor, keys: Tensor, values: Tensor
    ) -> None:
        """Store keys and values, shape [tokens, heads, head size], at (slots, positions)."""
        if layer not in self._layers:
            self._install(layer, self._empty(keys), self._empty(values))
        stored_keys, stored_values = self._layers[layer]
        stored_keys[slots, :, positions] = keys
        stored_values[slots, :, positions] = values

    def read(self, layer: int, slots: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Return copies of the first `length` keys and values of some slots."""
        keys, values = self._layers[layer]
        return keys[:, :, :length][slots], values[:, :, :length][slots]

    def copy(self, source: int, target: int, length: int) -> None:
        """Give slot `target` the first `length` keys and values of slot `source`."""
        for keys, values in self._layers.values():
            keys[target, :, :length] = keys[source, :, :length]
            values[target, :, :length] = values[source, :, :length]

    def clear(self) -> None:
        """Forget everything and free the memory."""
        self.slots = self.length = 0
        self.rows.clear()
        self._layers.clear()

    def _empty(self, like: Tensor) -> Tensor:
        shape = (self.slots, like.shape[1], self.length, like.shape[2])
        build = torch.zeros if self.zeroed else torch.empty
        return build(shape, dtype=like.dtype, device=like.device)

    def _grown(self, old: Tensor) -> Tensor:
        slots, heads, length, size = old.shape
        shape = (self.slots, heads, self.length, size)
        new = old.new_zeros(shape) if self.zeroed else old.new_empty(shape)
        new[:slots, :, :length] = old
        return new

    def _install(self, layer: int, keys: Tensor, values: Tensor) -> None:
        self._layers[layer] = (keys, values)
        self.rows[layer] = (list(torch.split(keys, 1)), list(torch.split(values, 1)))
