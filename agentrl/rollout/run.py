"""Episodes being played: slots that each take one job after the other, as long as there are any."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agentrl.dialogue.base import DialogueFactory
from agentrl.errors import ConfigError, EngineFault, EnvironmentFault
from agentrl.rollout.environments import DeadlineFault, EnvironmentPool
from agentrl.rollout.episode import Episode, Settings
from agentrl.rollout.requests import GroupRequest, Journal
from agentrl.rollout.seeds import episode_seed
from agentrl.rollout.stats import RETRIES
from agentrl.rollout.watch import watch
from agentrl.trajectory import Outcome, Trajectory

_log = logging.getLogger(__name__)

_ENGINE_BACKOFF_SECONDS = 0.25


@dataclass(slots=True)
class Job:
    """One episode to play."""

    request: GroupRequest
    index: int
    is_refill: bool = False


class Run:
    """Jobs, the slots that play them and what has been finished.

    Jobs can be added until `finish`; from then on a slot without a job ends.
    """

    def __init__(
        self,
        pool: EnvironmentPool,
        dialogues: DialogueFactory,
        settings: Settings,
        *,
        run_seed: int,
        slots: int,
        environment: str,
        journal: Journal | None = None,
    ) -> None:
        """Start slots; they wait for jobs.

        Args:
            pool: Lends out environments.
            dialogues: Makes the dialogue of each episode.
            settings: What the episodes share.
            run_seed: The run's seed.
            slots: Episodes in flight.
            environment: The environment's name, for the record.
            journal: Told of every episode that begins and ends.
        """
        self._jobs: deque[Job] = deque()
        self._has_more = asyncio.Event()
        self._is_complete = False
        self._groups: set[str] = set()
        self._journal = journal
        self._pool = pool
        self._dialogues = dialogues
        self._settings = settings
        self._stats = settings.stats
        self._run_seed = run_seed
        self._environment = environment
        self._running: dict[str, float] = {}
        self._finished: deque[Trajectory] = deque()
        self._news = asyncio.Event()
        self._begin = time.perf_counter()
        self._slots = [asyncio.create_task(self._slot()) for _ in range(slots)]
        for slot in self._slots:
            slot.add_done_callback(lambda _: self._news.set())
        self._watch = asyncio.create_task(watch(self._stats, self._running))

    def add(self, requests: Sequence[GroupRequest]) -> None:
        """Play these groups after the ones before.

        Raises:
            ConfigError: Two groups of this run have the same name.
        """
        for request in requests:
            if request.group in self._groups:
                raise ConfigError(
                    f"group {request.group!r} is asked for twice; names must be unique"
                )
            self._groups.add(request.group)
            self._jobs.extend(Job(request, index) for index in range(request.size))
        self._has_more.set()

    def finish(self) -> None:
        """Say that no more groups will come."""
        self._is_complete = True
        self._has_more.set()

    async def results(self) -> AsyncIterator[Trajectory]:
        """Yield finished episodes; re-raise whatever is no failure of infrastructure."""
        while True:
            self._news.clear()
            while self._finished:
                yield self._finished.popleft()
            for slot in self._slots:
                if slot.done():
                    slot.result()
            if not self._finished and all(slot.done() for slot in self._slots):
                return
            await self._news.wait()

    async def stop(self) -> None:
        """End all slots and wait for them; nothing of the run goes on afterwards."""
        tasks = [*self._slots, self._watch]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._stats.seconds += time.perf_counter() - self._begin

    async def _slot(self) -> None:
        """Play one job after the other."""
        while (job := await self._next()) is not None:
            trajectory = await self._play_with_retries(job)
            self._stats.outcomes[trajectory.outcome] += 1
            if trajectory.outcome.is_infrastructure:
                self._stats.lost += 1
                self._refill(job)
            else:
                self._stats.episodes += 1
            if self._journal is not None:
                self._journal.ended(trajectory)
            self._finished.append(trajectory)
            self._news.set()

    async def _next(self) -> Job | None:
        while not self._jobs and not self._is_complete:
            self._has_more.clear()
            await self._has_more.wait()
        return self._jobs.popleft() if self._jobs else None

    def _refill(self, job: Job) -> None:
        """Queue an episode in the place of a lost one, once."""
        if not job.is_refill:
            self._stats.refills += 1
            index = job.index + job.request.size
            self._jobs.append(Job(job.request, index, is_refill=True))
            self._has_more.set()

    async def _play_with_retries(self, job: Job) -> Trajectory:
        attempt = 0
        while True:
            trajectory = await self._play(job)
            if not trajectory.outcome.is_infrastructure:
                break
            self._stats.faults[trajectory.outcome] += 1
            _log.info("episode %s: %s: %s", trajectory.id, trajectory.outcome, trajectory.error)
            if attempt >= self._settings.config.retries:
                break
            if trajectory.outcome is Outcome.CANCELLED:
                await asyncio.sleep(_ENGINE_BACKOFF_SECONDS * 4**attempt)
            attempt += 1
            self._stats.retries += 1
        if attempt:
            trajectory.metrics[RETRIES] = float(attempt)
        return trajectory

    async def _play(self, job: Job) -> Trajectory:
        """Play one attempt; failures of infrastructure become its outcome."""
        trajectory = self._record(job)
        if self._journal is not None:
            self._journal.begun(trajectory.id)
        try:
            trajectory.outcome = await self._attempt(trajectory, job)
        except DeadlineFault as fault:
            trajectory.outcome, trajectory.error = Outcome.TIMEOUT, str(fault)
        except EnvironmentFault as fault:
            trajectory.outcome, trajectory.error = Outcome.ENV_ERROR, str(fault)
        except EngineFault as fault:
            trajectory.outcome, trajectory.error = Outcome.CANCELLED, str(fault)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            trajectory.error = "the engine cancelled the request"
        return trajectory

    async def _attempt(self, trajectory: Trajectory, job: Job) -> Outcome:
        request = job.request
        seed = episode_seed(self._run_seed, request.seed, request.task_id, job.index)
        environment = await self._pool.acquire()
        self._running[trajectory.id] = time.perf_counter()
        try:
            dialogue = self._dialogues()
            episode = Episode(environment, dialogue, trajectory, seed, self._settings)
            return await episode.play()
        finally:
            del self._running[trajectory.id]
            self._pool.release(environment)
            with suppress(EngineFault):
                await self._settings.engine.release(trajectory.id)

    def _record(self, job: Job) -> Trajectory:
        """Return the empty trajectory of a job."""
        request = job.request
        sampling = self._settings.sampling
        return Trajectory(
            id=f"{request.group}/{job.index}",
            group=request.group,
            task_id=request.task_id,
            turns=[],
            outcome=Outcome.CANCELLED,
            environment=self._environment,
            split=request.split,
            seed=request.seed,
            sampling={
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k,
            },
        )
