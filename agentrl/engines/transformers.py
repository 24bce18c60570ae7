"""The embedded engine: a Hugging Face causal language model served in this process.

Batched continuous decoding with per-episode caches. Given the learner's own module it shares the
weights, so a weight sync costs nothing; given a directory or a name it owns a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agentrl.engines.base import Completion, Ids, Logprobs, Request, Sampling
from agentrl.errors import ConfigError, EngineFault, MissingExtraError

try:
    import torch
    import transformers  # noqa: F401 - asked for here, so that the error names the extra
except ImportError as error:
    raise MissingExtraError(error.name or "torch", "train", "the embedded engine") from None

from agentrl.engines.embedded.forward import build_forward
from agentrl.engines.embedded.jobs import Generation, Scoring
from agentrl.engines.embedded.models import (
    adopt_model,
    copy_weights,
    load_model,
    read_weights,
    resolve_dtype,
)
from agentrl.engines.embedded.scheduler import Scheduler
from agentrl.engines.embedded.slots import SlotTable

_CACHED_LENGTH = 2048
"""The default cache holds this many ids, or the context, for each sequence of a full batch."""

_RESERVED_LENGTH = 1024
"""Reserved for each sequence at the start, so that the pool need not be copied to grow."""


class TransformersEngine:
    """Serves one policy from this process; see `agentrl.engines.base.Engine`.

    Completions depend on weights, prompt, settings and seed, not on what else is in the batch
    (up to the rounding of sums).
    """

    def __init__(
        self,
        model: Any,
        *,
        max_batch: int = 128,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        context_length: int | None = None,
        cache_tokens: int | None = None,
        version: int = 0,
    ) -> None:
        """Serve a model.

        Args:
            model: A module to share, a model directory or a Hugging Face name.
            max_batch: Sequences decoded together.
            device: Where to compute; None: where the module is, else the CPU.
            dtype: Type of the weights; None: the module's, else the checkpoint's.
            context_length: Most ids of prompt and completion; None: the model's own limit.
            cache_tokens: Ids whose keys and values are kept for episodes between their turns.
            version: The policy version of these weights.

        Raises:
            ModelError: The model cannot be loaded or served.
            ConfigError: A setting is out of range.
        """
        kind = resolve_dtype(dtype)
        place = torch.device(device) if device is not None else None
        named = isinstance(model, str | Path)
        self.model = load_model(model, kind, place) if named else adopt_model(model, kind, place)
        self.context_length = _context_length(self.model, context_length)
        self.vocabulary = int(self.model.get_input_embeddings().num_embeddings)
        if max_batch < 1:
            raise ConfigError(f"engine max_batch must be at least 1, not {max_batch}")
        if cache_tokens is None:
            cache_tokens = max_batch * min(self.context_length, _CACHED_LENGTH)
        forward = build_forward(self.model, self.context_length)
        self._pool = forward.pool
        if not self._pool.zeroed:
            self._pool.ensure(max_batch, min(self.context_length, _RESERVED_LENGTH))
        self._scheduler = Scheduler(
            forward,
            SlotTable(forward.pool, cache_tokens),
            max_batch=max_batch,
            vocabulary=self.vocabulary,
            version=version,
        )
        self._closed = False

    @property
    def policy_version(self) -> int:
        """The version of the weights served now."""
        return self._scheduler.version

    async def generate(self, request: Request) -> Completion:
        """Sample one completion.

        Raises:
            ConfigError: Prompt and limits do not fit the context, or a setting is out of range.
            EngineFault: The model failed, or the engine is closed.
        """
        self._check_ids(request.prompt_ids, "prompt")
        _check_sampling(request.sampling)
        self._check_choices(request.choices)
        total = len(request.prompt_ids) + request.sampling.max_tokens
        if total > self.context_length:
            raise ConfigError(
                f"a prompt of {len(request.prompt_ids)} ids and max_tokens="
                f"{request.sampling.max_tokens} do not fit the context of {self.context_length}; "
                "lower dialogue.max_turn_tokens or use dialogue.memory=window"
            )
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._scheduler.submit(Generation(request, future))
        return await future

    async def score(self, token_ids: Ids) -> Logprobs:
        """Return log p(id_k | ids before) at temperature 1, k ≥ 1, shape [len(token_ids) - 1].

        Raises:
            ConfigError: The ids do not fit the context or the vocabulary.
            EngineFault: The model failed, or the engine is closed.
        """
        self._check_ids(token_ids, "sequence")
        if len(token_ids) > self.context_length:
            raise ConfigError(
                f"a sequence of {len(token_ids)} ids does not fit the context of "
                f"{self.context_length}; score shorter ones"
            )
        future: asyncio.Future[Logprobs] = asyncio.get_running_loop().create_future()
        self._scheduler.submit(Scoring(token_ids, future))
        return await future

    async def load_weights(self, version: int, weights: Mapping[str, Any] | Path) -> None:
        """Serve these weights as policy `version`; what is running finishes on the old ones.

        An empty mapping says that the shared module has already changed. Tensors that the module
        shares are not copied.

        Raises:
            ModelError: The weights do not belong to this model.
        """
        self._check_open()
        held = self._scheduler.paused
        await self._scheduler.pause()
        try:
            if isinstance(weights, Path):
                weights = read_weights(weights)
            if weights:
                copy_weights(self.model, weights)
            self._scheduler.slots.clear()
            self._scheduler.version = version
        finally:
            if not held:
                self._scheduler.resume()

    async def pause(self) -> None:
        """Finish what is running and start nothing new, scores included, until `resume`."""
        await self._scheduler.pause()

    async def resume(self) -> None:
        """Go on after `pause`."""
        self._scheduler.resume()

    async def release(self, session: str) -> None:
        """Forget an episode's cache; unknown sessions are ignored."""
        self._scheduler.slots.release(session)

    async def close(self) -> None:
        """Fail what is running and free the cache; the engine cannot be used afterwards."""
        self._closed = True
        self._scheduler.fail(EngineFault("the engine was closed"))
        self._pool.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineFault("the engine is closed; make a new one")

    def _check_ids(self, ids: Ids, what: str) -> None:
        self._check_open()
        if len(ids) == 0:
            raise ConfigError(f"the {what} is empty; give at least one id")
        low, high = int(np.min(ids)), int(np.max(ids))
        if low < 0 or high >= self.vocabulary:
            raise ConfigError(
                f"the {what} holds id {low if low < 0 else high}, outside the vocabulary of "
                f"{self.vocabulary}; the tokenizer does not belong to this model"
            )

    def _check_choices(self, choices: tuple[tuple[int, ...], ...] | None) -> None:
        if choices is None:
            return
        if not choices or not all(choices):
            raise ConfigError("choices must hold at least one sequence, and none that is empty")
        high = max(map(max, choices))
        if high >= self.vocabulary or min(map(min, choices)) < 0:
            raise ConfigError(
                f"the choices hold ids outside the vocabulary of {self.vocabulary}; "
                "the tokenizer does not belong to this model"
            )


def _check_sampling(sampling: Sampling) -> None:
    limits = {
        "temperature": (sampling.temperature >= 0, "at least 0"),
        "top_p": (0 < sampling.top_p <= 1, "above 0 and at most 1"),
        "top_k": (sampling.top_k >= 0, "at least 0"),
        "max_tokens": (sampling.max_tokens >= 1, "at least 1"),
    }
    for name, (good, range_) in limits.items():
        if not good:
            raise ConfigError(f"sampling {name} must be {range_}, not {getattr(sampling, name)}")


def _context_length(model: Any, asked: int | None) -> int:
    own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if asked is None:
        if own is None:
            raise ConfigError("the model names no context length; set engine context_length")
        return int(own)
    if asked < 2 or (own is not None and asked > own):
        raise ConfigError(f"engine context_length {asked} is not within the model's 2 to {own}")
    return asked
