"""The forward pass for models with an attention of their own: padded rows and a cache object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agentrl.engines.embedded.pool import Chunk, KeyValuePool

_ROWS = 32
"""Rows padded together; chunks are sorted by length first."""


class PaddedForward:
    """Chunks as padded rows, through `past_key_values`, `position_ids` and a 4-D mask."""

    def __init__(self, model: Any, context_length: int) -> None:
        """Serve `model`; its weights are shared."""
        from agentrl.engines.embedded.forward import replica

        window = getattr(model.config.get_text_config(), "sliding_window", None)
        if window is not None and window < context_length:
            raise NotImplementedError(
                f"with this model's attention, a context above its sliding window of {window}"
            )
        self.pool = KeyValuePool(zeroed=True)
        self._model = replica(model)
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self._layers = int(model.config.get_text_config().num_hidden_layers)

    @torch.inference_mode()
    def __call__(self, chunks: Sequence[Chunk]) -> Tensor:
        """Return the kept positions' logits, shape [kept, vocabulary], float32."""
        order = sorted(range(len(chunks)), key=lambda i: (len(chunks[i].ids), chunks[i].end))
        parts: dict[int, Tensor] = {}
        for first in range(0, len(order), _ROWS):
            rows = order[first : first + _ROWS]
            logits = self._pass([chunks[i] for i in rows])
            for i, row in zip(rows, logits, strict=True):
                size = len(chunks[i].ids)
                parts[i] = row[size - chunks[i].keep : size]
        return torch.cat([parts[i] for i in range(len(chunks))]).float()

    def _pass(self, chunks: Sequence[Chunk]) -> Tensor:
        width = max(len(chunk.ids) for chunk in chunks)
        ids = np.zeros((len(chunks), width), np.int64)
        positions = np.zeros((len(chunks), width), np.int64)
        filled = np.zeros((len(chunks), width), bool)
        for row, chunk in enumerate(chunks):
            size = len(chunk.ids)
            ids[row, :size], filled[row, :size] = chunk.ids, True
            # Padding repeats the last position: it sees what a real token sees, and is ignored.
            positions[row] = np.minimum(np.arange(chunk.start, chunk.start + width), chunk.end - 1)
        places = torch.from_numpy(positions).to(self._device)
        longest = max(chunk.end for chunk in chunks)
        hidden = torch.arange(longest, device=self._device) > places[:, :, None]
        mask = torch.zeros(hidden.shape, dtype=self._dtype, device=self._device)
        mask.masked_fill_(hidden, torch.finfo(self._dtype).min)
        cache = self._cache(
            torch.tensor([chunk.slot for chunk in chunks], device=self._device),
            places,
            torch.from_numpy(filled).to(self._device),
            longest,
        )
        output = self._model(
            input_ids=torch.from_numpy(ids).to(self._device),
            position_ids=places,
            attention_mask=mask[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        logits: Tensor = output.logits
        return logits

    def _cache(self, slots: Tensor, places: Tensor, filled: Tensor, longest: int) -> Any:
        from transformers.cache_utils import Cache, CacheLayerMixin

        pool = self.pool
        flat_slots = slots[:, None].expand_as(filled)[filled]
        flat_places = places[filled]
        width = filled.shape[1]

        class PoolLayer(CacheLayerMixin):  # type: ignore[misc]
            """One layer of the pool, as transformers sees a cache."""

            is_sliding = False

            def __init__(self, layer: int) -> None:
                super().__init__()
                self.layer = layer
                self.is_initialized = True

            def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
                """Do nothing: the pool allocates."""

            def update(
                self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
            ) -> tuple[Tensor, Tensor]:
                keys = key_states.transpose(1, 2)[filled]
                values = value_states.transpose(1, 2)[filled]
                pool.write(self.layer, flat_slots, flat_places, keys, values)
                return pool.read(self.layer, slots, longest)

            def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
                return longest, 0

            def get_seq_length(self) -> int:
                return longest - width

            def get_max_length(self) -> int:
                return -1

        return Cache(layers=[PoolLayer(layer) for layer in range(self._layers)])
