"""What the scheduler works on: completions being sampled and sequences being scored."""

from __future__ import annotations

import asyncio

import numpy as np
import torch
from torch import Tensor

from agentrl.dialogue.choices import choice_trie
from agentrl.engines.base import Completion, FinishReason, Ids, Logprobs, Request
from agentrl.engines.embedded.pool import Chunk
from agentrl.engines.embedded.sampler import uniforms
from agentrl.engines.embedded.slots import Slot
from agentrl.errors import EngineFault


class Generation:
    """One completion."""

    shares = True

    def __init__(self, request: Request, future: asyncio.Future[Completion]) -> None:
        """Prepare to answer `request` through `future`."""
        self.request = request
        self.future = future
        self.sampling = request.sampling
        self.session = request.session
        self.prompt = request.prompt_ids
        self.room = request.sampling.max_tokens
        self.slot = Slot(-1)
        self.finish: FinishReason | None = None
        self._stops = frozenset(request.sampling.stop_ids)
        self._tokens: list[int] = []
        self._logprobs: list[float] = []
        self._random = uniforms(request.sampling).tolist()
        self._trie = choice_trie(request.choices) if request.choices is not None else None
        self._node: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to do; cancelled callers are done too."""
        return self.finish is not None or self.future.done()

    @property
    def random(self) -> float:
        """The number that decides the next token."""
        return float(self._random[len(self._tokens)])

    @property
    def allowed(self) -> Ids | None:
        """The ids that the next token may be, or None for all."""
        return self._trie.children(self._node) if self._trie is not None else None

    def start(self, slot: Slot) -> None:
        """Begin in `slot`, which holds the prompt."""
        self.slot = slot
        self._skip_forced()

    def chunk(self, limit: int, positions: int) -> Chunk:
        """Return the next at most `limit` ids to compute."""
        del positions
        slot = self.slot
        end = min(slot.known, slot.computed + limit)
        ids = slot.ids[slot.computed : end]
        return Chunk(slot.index, slot.computed, ids, int(end == slot.known))

    def accept(self, token: int, logprob: float) -> None:
        """Append a sampled token, and all that the restriction leaves no choice about."""
        if logprob != logprob:
            raise EngineFault("the model gave logits that are not finite; its weights are damaged")
        self._append(token, logprob)
        self._skip_forced()

    def answer(self, version: int) -> None:
        """Hand the completion to the caller."""
        if self.future.done() or self.finish is None:
            return
        tokens = np.array(self._tokens, np.int32)
        logprobs = np.array(self._logprobs, np.float32)
        self.future.set_result(Completion(tokens, logprobs, self.finish, version))

    def _append(self, token: int, logprob: float) -> None:
        self._tokens.append(token)
        self._logprobs.append(logprob)
        self.slot.push(token)
        if self._trie is not None:
            node = self._trie.advance(self._node, token)
            if node is None:
                raise EngineFault(f"token {token} was sampled outside the allowed choices")
            self._node = node
        if token in self._stops or (self._trie is not None and not self._open):
            self.finish = "stop"
        elif len(self._tokens) == self.room:
            self.finish = "length"

    @property
    def _open(self) -> bool:
        return self._trie is not None and len(self._trie.children(self._node)) > 0

    def _skip_forced(self) -> None:
        # A token without alternative needs no logits; it is computed with the next chunk.
        while self._trie is not None and self.finish is None:
            allowed = self._trie.children(self._node)
            if len(allowed) != 1:
                return
            self._append(int(allowed[0]), 0.0)


class Scoring:
    """The log-probabilities of one given sequence."""

    session = ""
    room = 0
    shares = False

    def __init__(self, ids: Ids, future: asyncio.Future[Logprobs]) -> None:
        """Prepare to score `ids` through `future`."""
        self.prompt = ids
        self.future = future
        self.slot = Slot(-1)
        self._parts: list[Logprobs] = []

    @property
    def done(self) -> bool:
        """Whether nothing is left to do; cancelled callers are done too."""
        return self.future.done() or self.slot.computed >= len(self.prompt) - 1

    def start(self, slot: Slot) -> None:
        """Begin in `slot`."""
        self.slot = slot

    def chunk(self, limit: int, positions: int) -> Chunk:
        """Return the next ids to compute; at most `positions`, as the logits of all are kept."""
        slot = self.slot
        end = min(slot.known - 1, slot.computed + min(limit, positions))
        ids = slot.ids[slot.computed : end]
        return Chunk(slot.index, slot.computed, ids, len(ids))

    def take(self, logits: Tensor, end: int) -> None:
        """Take in the logits of the positions before `end`."""
        following = self.prompt[end - len(logits) + 1 : end + 1]
        index = torch.from_numpy(following.astype(np.int64)).to(logits.device)
        picked = logits.gather(1, index[:, None])[:, 0] - logits.logsumexp(-1)
        self._parts.append(picked.cpu().numpy())

    def answer(self, version: int) -> None:
        """Hand the log-probabilities to the caller."""
        del version
        if not self.future.done():
            parts = self._parts or [np.empty(0, np.float32)]
            self.future.set_result(np.concatenate(parts))


Job = Generation | Scoring
