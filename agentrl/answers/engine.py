"""Answers scored by an engine, prefix by prefix: what any engine can do, at T times the cost."""

from __future__ import annotations

import asyncio

import numpy as np

from agentrl.answers.prefixes import Write, prefixes_of, signal_of
from agentrl.batch import Batch
from agentrl.engines.base import Engine
from agentrl.trajectory import Signals


class EngineAnswerScorer:
    """The signal `answer_logprob` from an engine; a `SignalSource` whose `measure` is awaited."""

    provides: frozenset[str] = frozenset({"answer_logprob"})

    def __init__(self, engine: Engine, write: Write) -> None:
        """Score the answers that `write` puts into blocks."""
        self._engine = engine
        self._write = write

    async def measure(self, batch: Batch, known: Signals, *, temperature: float) -> Signals:
        """Return the signal; beliefs are measured at temperature 1 whatever was sampled at."""
        del known, temperature
        return await score_answers(self._engine, batch, self._write)


async def score_answers(
    engine: Engine, batch: Batch, write: Write, *, concurrency: int = 64
) -> Signals:
    """Return the signal `answer_logprob` of a batch under the weights that an engine serves.

    Args:
        engine: Serves the policy; it must not be paused.
        batch: Trajectories with answers; those without are not scored.
        write: Returns the block of an answer.
        concurrency: Most sequences that are handed to the engine at a time.

    Raises:
        EngineFault: The engine died.
    """
    prefixes = prefixes_of(batch, write, context_length=engine.context_length)
    scores = np.empty(len(prefixes))
    waiting = iter(range(len(prefixes)))

    async def work() -> None:
        for index in waiting:
            start, block = int(prefixes.starts[index]), prefixes.blocks[index]
            prefix = batch.token_ids[start : start + int(prefixes.lengths[index])]
            ids = np.concatenate([prefix, block.opener, block.answer]).astype(np.int32)
            logprobs = await engine.score(ids)
            scores[index] = np.mean(logprobs[-len(block.answer) :], dtype=np.float64)

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(prefixes)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    return {"answer_logprob": signal_of(batch, prefixes, scores)}
