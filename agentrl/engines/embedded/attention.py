"""Attention over sequences of unequal length that lie end to end, without padding.

`FlatStep` is one pass of the model over chunks of many sequences. It is given to transformers as
an attention implementation: the model's own layers compute everything else on `[1, tokens]`, so
nothing but attention knows that the tokens belong to different sequences.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from agentrl.engines.embedded.pool import Chunk, KeyValuePool

NAME = "agentrl_flat"
"""What the implementation is called in a model's configuration."""
_UNSUPPORTED = ("softcap", "s_aux", "position_bias")
"""Arguments that change the scores in ways that only a model's own attention knows."""


class FlatStep:
    """The chunks of one forward pass, single-token ones first."""

    def __init__(
        self,
        chunks: Sequence[Chunk],
        pool: KeyValuePool,
        device: torch.device,
        *,
        together: bool = False,
    ) -> None:
        """Lay the chunks end to end; those with one id must come first."""
        self.pool = pool
        self._together = together
        sizes = [len(chunk.ids) for chunk in chunks]
        self._singles = sizes.count(1)
        self._decoding = [(chunk.slot, chunk.end) for chunk in chunks[: self._singles]]
        self._prefilling = list(chunks[self._singles :])
        self._masks: dict[tuple[int, int, int, int], Tensor] = {}
        slots = np.repeat(np.array([chunk.slot for chunk in chunks]), sizes)
        positions = np.concatenate([np.arange(chunk.start, chunk.end) for chunk in chunks])
        self.ids = torch.from_numpy(np.concatenate([c.ids for c in chunks])).long().to(device)
        self.slots = torch.from_numpy(slots).to(device)
        self.positions = torch.from_numpy(positions).to(device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> Tensor:
        """Store keys and values, and return the attention's output, [1, tokens, heads, size]."""
        tokens, heads = query.shape[2], key.shape[1]
        grouped = query[0].transpose(0, 1).reshape(tokens, heads, -1, query.shape[-1])
        self.pool.write(
            layer, self.slots, self.positions, key[0].transpose(0, 1), value[0].transpose(0, 1)
        )
        outputs = self._decode(layer, grouped[: self._singles], scale, window)
        offset = self._singles
        for chunk in self._prefilling:
            rows = grouped[offset : offset + len(chunk.ids)]
            outputs.append(self._prefill(layer, chunk, rows, scale, window))
            offset += len(chunk.ids)
        return torch.cat(outputs).view(1, tokens, query.shape[1], -1)

    def _decode(self, layer: int, query: Tensor, scale: float, window: int) -> list[Tensor]:
        """Attend from one token per sequence; query heads that share keys ride as rows."""
        if not self._decoding:
            return []
        if self._together:
            return [self._decode_together(layer, query, scale, window)]
        keys, values = self.pool.rows[layer]
        outputs = []
        for row, (slot, end) in zip(torch.split(query, 1), self._decoding, strict=True):
            start = max(0, end - window) if window else 0
            outputs.append(
                scaled_dot_product_attention(
                    row,
                    keys[slot].narrow(2, start, end - start),
                    values[slot].narrow(2, start, end - start),
                    scale=scale,
                )
            )
        return outputs

    def _decode_together(self, layer: int, query: Tensor, scale: float, window: int) -> Tensor:
        """Attend for all rows in one padded call: where a call costs more than padding."""
        longest = max(end for _, end in self._decoding)
        slots = self.slots[: self._singles]
        keys, values = self.pool.read(layer, slots, longest)
        last = self.positions[: self._singles, None]
        places = torch.arange(longest, device=query.device)
        mask = places <= last
        if window:
            mask &= places > last - window
        return scaled_dot_product_attention(
            query, keys, values, attn_mask=mask[:, None, None], scale=scale
        )

    def _prefill(
        self, layer: int, chunk: Chunk, query: Tensor, scale: float, window: int
    ) -> Tensor:
        """Attend from several tokens of one sequence, shapes [n, heads, group, size]."""
        tokens, heads, group, size = query.shape
        keys, values = self.pool.rows[layer]
        start = max(0, chunk.start + 1 - window) if window else 0
        # A whole sequence at once is plainly causal, which the kernel does in half the work.
        plain = chunk.start == 0 and group == 1 and not window
        output = scaled_dot_product_attention(
            query.permute(1, 2, 0, 3).reshape(1, heads, group * tokens, size),
            keys[chunk.slot].narrow(2, start, chunk.end - start),
            values[chunk.slot].narrow(2, start, chunk.end - start),
            attn_mask=None if plain else self._mask(chunk, start, group, window, query),
            is_causal=plain,
            scale=scale,
        )
        return output.view(heads, group, tokens, -1).permute(2, 0, 1, 3)

    def _mask(self, chunk: Chunk, start: int, group: int, window: int, like: Tensor) -> Tensor:
        key = (chunk.slot, start, group, window)
        if key not in self._masks:
            places = torch.arange(start, chunk.end, device=like.device)
            rows = torch.arange(chunk.start, chunk.end, device=like.device)[:, None]
            hidden = places > rows
            if window:
                hidden |= places <= rows - window
            mask = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device)
            self._masks[key] = mask.masked_fill_(hidden, -torch.inf).repeat(group, 1)
        return self._masks[key]


_current = threading.local()


@contextmanager
def use_step(step: FlatStep) -> Iterator[None]:
    """Answer the model's attention calls with `step`."""
    _current.step = step
    try:
        yield
    finally:
        _current.step = None


def flat_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as the current step says (transformers' attention interface)."""
    unsupported = [name for name in _UNSUPPORTED if kwargs.get(name) is not None]
    if unsupported:
        raise NotImplementedError(f"attention with {', '.join(unsupported)}")
    step: FlatStep = _current.step
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    return step.attend(layer, query, key, value, scale, sliding_window or 0), None


def register() -> None:
    """Make the implementation known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, flat_attention)
