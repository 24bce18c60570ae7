"""Continuous batching: sequences join and leave between any two passes of the model."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from agentrl.engines.embedded.forward import Forward
from agentrl.engines.embedded.jobs import Generation, Job, Scoring
from agentrl.engines.embedded.pool import Chunk
from agentrl.engines.embedded.sampler import draw
from agentrl.engines.embedded.slots import SlotTable
from agentrl.errors import AgentRLError, EngineFault

_PREFILL_TOKENS = 2048
"""New prompt ids that go through the model in one pass, over all sequences."""
_CHUNK_TOKENS = 512
"""New prompt ids of one sequence in one pass."""
_SCORED_LOGITS = 1 << 24
"""Logits of scored positions held at once."""
_REJOIN_TICKS = 4
"""Turns of the event loop in which a finished sequence's caller can act and ask again."""


class Scheduler:
    """Runs jobs over one forward pass after another, as a task of the caller's event loop."""

    def __init__(
        self, forward: Forward, slots: SlotTable, *, max_batch: int, vocabulary: int, version: int
    ) -> None:
        """Run at most `max_batch` jobs together."""
        self.version = version
        self.slots = slots
        self.paused = False
        self._forward = forward
        self._max_batch = max_batch
        self._positions = max(16, _SCORED_LOGITS // vocabulary)
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, job: Job) -> None:
        """Queue a job; its future tells the caller the rest."""
        self._waiting.append(job)
        self._wake()

    async def pause(self) -> None:
        """Finish what is running and hold what is waiting."""
        self.paused = True
        if self._task is not None and not self._task.done():
            await asyncio.shield(self._task)

    def resume(self) -> None:
        """Go on after `pause`."""
        self.paused = False
        self._wake()

    def fail(self, error: Exception) -> None:
        """Tell every caller that the engine failed, and drop all caches."""
        jobs = [*self._running, *self._waiting]
        self._running.clear()
        self._waiting.clear()
        self.slots.clear()
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(_as_fault(error))

    def _wake(self) -> None:
        if self._has_work() and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    def _has_work(self) -> bool:
        return bool(self._running) or (bool(self._waiting) and not self.paused)

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)
            while self._has_work():
                answered = self._guarded_step()
                for _ in range(_REJOIN_TICKS if answered else 1):
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.fail(EngineFault("the engine's event loop was stopped"))
            raise

    def _guarded_step(self) -> bool:
        try:
            return self._step()
        except Exception as error:
            self.fail(error)
            return True

    @torch.inference_mode()
    def _step(self) -> bool:
        """Run one pass; return whether any caller got an answer."""
        self._admit()
        answered = self._retire()
        chunks = self._chunks()
        if not chunks:
            return answered
        logits = self._forward([chunk for _, chunk in chunks])
        for job, chunk in chunks:
            job.slot.computed = chunk.end
        self._distribute(chunks, logits)
        return self._retire() or answered

    def _admit(self) -> None:
        """Start waiting jobs while there is room; keep the order of those that must wait."""
        if self.paused:
            return
        held: list[Job] = []
        while self._waiting and len(self._running) < self._max_batch:
            job = self._waiting.popleft()
            if job.future.done():
                continue
            slot = self.slots.claim(job.session, job.prompt, job.room, share=job.shares)
            if slot is None:
                held.append(job)
                continue
            job.start(slot)
            self._running.append(job)
        self._waiting.extendleft(reversed(held))

    def _retire(self) -> bool:
        done = [job for job in self._running if job.done]
        if not done:
            return False
        self._running = [job for job in self._running if not job.done]
        for job in done:
            self.slots.finish(job.slot)
            job.answer(self.version)
        return True

    def _chunks(self) -> list[tuple[Job, Chunk]]:
        """Return what the next pass computes, chunks of one id first."""
        budget, positions = _PREFILL_TOKENS, self._positions
        singles: list[tuple[Job, Chunk]] = []
        several: list[tuple[Job, Chunk]] = []
        for job in self._running:
            decodes = job.slot.known - job.slot.computed == 1
            if not decodes and (budget <= 0 or positions <= 0):
                continue
            chunk = job.chunk(1 if decodes else min(_CHUNK_TOKENS, budget), positions)
            (singles if len(chunk.ids) == 1 else several).append((job, chunk))
            budget -= len(chunk.ids) if not decodes else 0
            positions -= chunk.keep if isinstance(job, Scoring) else 0
        return singles + several

    def _distribute(self, chunks: list[tuple[Job, Chunk]], logits: Tensor) -> None:
        bounds = np.cumsum([0, *(chunk.keep for _, chunk in chunks)]).tolist()
        generations: list[Generation] = []
        rows: list[int] = []
        for (job, chunk), (first, last) in zip(chunks, pairwise(bounds), strict=True):
            if isinstance(job, Scoring):
                job.take(logits[first:last], chunk.end)
            elif chunk.keep:
                generations.append(job)
                rows.append(first)
        if generations:
            _sample(generations, logits if len(rows) == len(logits) else logits[rows])


def _sample(generations: list[Generation], logits: Tensor) -> None:
    """Draw the next token of each generation; free and restricted ones apart."""
    free = [i for i, job in enumerate(generations) if job.allowed is None]
    bound = [i for i, job in enumerate(generations) if job.allowed is not None]
    if free:
        jobs = [generations[i] for i in free]
        drawn = draw(
            logits[free] if bound else logits,
            [job.sampling for job in jobs],
            [job.random for job in jobs],
        )
        _accept(jobs, drawn.indices.tolist(), drawn.logprobs.tolist())
    if bound:
        _sample_restricted([generations[i] for i in bound], logits[bound] if free else logits)


def _sample_restricted(jobs: list[Generation], logits: Tensor) -> None:
    """Draw among each job's allowed ids only, gathered into one narrow table."""
    allowed = [job.allowed for job in jobs if job.allowed is not None]
    table = np.zeros((len(jobs), max(map(len, allowed))), np.int64)
    padding = np.ones(table.shape, bool)
    for row, ids in enumerate(allowed):
        table[row, : len(ids)] = ids
        padding[row, : len(ids)] = False
    candidates = logits.gather(1, torch.from_numpy(table).to(logits.device))
    candidates = candidates.masked_fill(torch.from_numpy(padding).to(logits.device), -torch.inf)
    drawn = draw(candidates, [job.sampling for job in jobs], [job.random for job in jobs])
    tokens = table[np.arange(len(jobs)), drawn.indices]
    _accept(jobs, tokens.tolist(), drawn.logprobs.tolist())


def _accept(jobs: list[Generation], tokens: list[int], logprobs: list[float]) -> None:
    for job, token, logprob in zip(jobs, tokens, logprobs, strict=True):
        try:
            job.accept(token, logprob)
        except EngineFault as fault:
            job.future.set_exception(fault)


def _as_fault(error: Exception) -> AgentRLError:
    if isinstance(error, AgentRLError):
        return type(error)(*error.args)
    text = " ".join(str(error).split())[:300]
    fault = EngineFault(f"the engine failed: {type(error).__name__}: {text}")
    fault.__cause__ = error
    return fault
