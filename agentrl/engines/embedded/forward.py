"""Forward passes of a Hugging Face model over chunks of cached sequences."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from agentrl.engines.embedded import attention
from agentrl.engines.embedded.padded import PaddedForward
from agentrl.engines.embedded.pool import Chunk, KeyValuePool
from agentrl.errors import ModelError


class Forward(Protocol):
    """Runs chunks through a model and keeps their keys and values in a pool."""

    pool: KeyValuePool

    def __call__(self, chunks: Sequence[Chunk]) -> Tensor:
        """Return the kept positions' logits in the order of `chunks`, [kept, vocabulary], float32.

        Chunks with one id come first.
        """
        ...


class FlatForward:
    """All chunks in one pass without padding; the module's own layers, our attention."""

    def __init__(
        self, model: Any, context_length: int = 0, *, together: bool | None = None
    ) -> None:
        """Serve `model`; its weights are shared, its configuration is not touched.

        Args:
            model: A causal language model.
            context_length: Not needed: any length is served alike.
            together: Decode all sequences in one padded attention call instead of one call each;
                None: where calls are dear, that is not on a CPU.
        """
        del context_length
        attention.register()
        device = next(model.parameters()).device
        self._together = device.type != "cpu" if together is None else together
        self.pool = KeyValuePool(zeroed=self._together)
        self._model = replica(model)
        self._device = device
        self._selects = "logits_to_keep" in inspect.signature(model.forward).parameters
        _set_attention(self._model, attention.NAME)

    @torch.inference_mode()
    def __call__(self, chunks: Sequence[Chunk]) -> Tensor:
        """Return the kept positions' logits, shape [kept, vocabulary], float32."""
        step = attention.FlatStep(chunks, self.pool, self._device, together=self._together)
        ends = np.cumsum([len(chunk.ids) for chunk in chunks])
        kept = torch.from_numpy(
            np.concatenate([np.arange(e - c.keep, e) for e, c in zip(ends, chunks, strict=True)])
        ).to(self._device)
        select = {"logits_to_keep": kept} if self._selects else {}
        with attention.use_step(step):
            output = self._model(
                input_ids=step.ids[None],
                position_ids=step.positions[None],
                use_cache=False,
                **select,
            )
        logits: Tensor = output.logits[0]
        return (logits if self._selects else logits[kept]).float()


def replica(model: Any) -> Any:
    """Return a copy of the module's structure, in evaluation mode, that shares its tensors.

    So the learner's module can stay in training mode with an attention of its own, and its
    updates in place are seen here.
    """
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}).eval()


def build_forward(model: Any, context_length: int) -> Forward:
    """Return the fastest forward pass that gives the same logits as the module's own.

    Raises:
        ModelError: The model computes something else when its keys and values are cached.
    """
    problems = []
    for build in (FlatForward, PaddedForward):
        try:
            forward: Forward = build(model, context_length)
            gap = _probe(forward, model)
        except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            problems.append(f"{type(error).__name__}: {' '.join(str(error).split())[:120]}")
            continue
        if gap < 1e-3 or (gap < 0.1 and next(model.parameters()).dtype != torch.float32):
            forward.pool.clear()
            return forward
        problems.append(f"logits differ by {gap:.2g}")
    raise ModelError(
        f"{type(model).__name__} cannot be served by the embedded engine ({'; '.join(problems)}); "
        "use another engine"
    )


@torch.inference_mode()
def _probe(forward: Forward, model: Any) -> float:
    """Return the largest difference in logits, relative to their size, on two short sequences."""
    rng = np.random.default_rng(0)
    size = int(model.get_input_embeddings().num_embeddings)
    first, second = (rng.integers(0, size, n).astype(np.int32) for n in (11, 7))
    forward.pool.ensure(2, 16)
    got = [
        forward([Chunk(0, 0, first[:4], 4), Chunk(1, 0, second[:6], 6)]),
        forward([Chunk(1, 6, second[6:], 1), Chunk(0, 4, first[4:], 7)]),
    ]
    served = torch.cat([got[0][:4], got[1][1:], got[0][4:], got[1][:1]])
    plain = replica(model)
    device = served.device
    expected = torch.cat(
        [plain(torch.from_numpy(s).long()[None].to(device)).logits[0] for s in (first, second)]
    ).float()
    return float((served - expected).abs().max() / (1 + expected.abs().max()))


def _set_attention(model: Any, name: str) -> None:
    for module in model.modules():
        config = getattr(module, "config", None)
        if config is not None and hasattr(config, "_attn_implementation"):
            config._attn_implementation = name
