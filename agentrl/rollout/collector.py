"""The asynchronous collector: groups of episodes in, finished trajectories out.

A fixed number of slots each play one episode after the other; there is no barrier, so a slow
episode delays nobody. Episodes lost to infrastructure are played again with the same seeds, then
given up, counted and replaced once by an episode with fresh sampling. Only scored episodes reach
a batch.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Self

from agentrl.config import RolloutConfig, SamplingConfig
from agentrl.dialogue.base import DialogueFactory
from agentrl.engines.base import Engine
from agentrl.errors import ConfigError, EnvironmentFault
from agentrl.rollout.environments import EnvFactory, EnvironmentPool, LocalPool, needs_workers
from agentrl.rollout.episode import Settings
from agentrl.rollout.requests import Collected, GroupRequest, Journal
from agentrl.rollout.run import Run
from agentrl.rollout.stats import RolloutStats
from agentrl.rollout.worker_pool import WorkerPool
from agentrl.trajectory import Outcome, Trajectory


class Collector:
    """Plays episodes with one engine in one kind of environment; see `collect` and `stream`."""

    def __init__(
        self,
        env: EnvFactory,
        dialogues: DialogueFactory,
        engine: Engine,
        config: RolloutConfig | None = None,
        sampling: SamplingConfig | None = None,
    ) -> None:
        """Prepare a collector; nothing starts before the first episode.

        Args:
            env: Makes an environment; `EnvSpec` does it by name. With worker processes it is
                pickled.
            dialogues: Makes the dialogue of each episode.
            engine: Samples the actions.
            config: Workers, concurrency, deadlines, retries. An environment that says it blocks
                gets a worker per core where none are asked for.
            sampling: Temperature and the like.

        Raises:
            ConfigError: `env` cannot be sent to worker processes.
        """
        self._dialogues = dialogues
        self._engine = engine
        self._config = config or RolloutConfig()
        self._sampling = sampling or SamplingConfig()
        self._name = str(getattr(env, "name", None) or getattr(env, "__name__", ""))
        workers = self._config.workers
        if not workers and needs_workers(env):
            workers = min(os.cpu_count() or 1, self._config.concurrency)
        self._pool: EnvironmentPool = (
            WorkerPool(env, workers, self._config.turn_seconds) if workers else LocalPool(env)
        )

    async def __aenter__(self) -> Self:
        """Return the collector; leaving the block closes it."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close the collector."""
        await self.close()

    async def close(self) -> None:
        """Close all environments and end all worker processes; the engine stays open."""
        await self._pool.close()

    async def collect(
        self,
        requests: Sequence[GroupRequest],
        *,
        run_seed: int = 0,
        on_episode: Callable[[Trajectory], None] | None = None,
    ) -> Collected:
        """Play all groups and return their episodes in a fixed order.

        Args:
            requests: The groups.
            run_seed: The run's seed; with the same engine it reproduces every episode.
            on_episode: Called with each episode as it ends, lost ones included.

        Raises:
            EnvironmentFault: Every episode was lost.
            ConfigError: No episode's first prompt fits the context.
        """
        stats = RolloutStats()
        finished: list[Trajectory] = []
        episodes = self.stream(requests, run_seed=run_seed, stats=stats)
        async with aclosing(episodes):
            async for trajectory in episodes:
                finished.append(trajectory)
                if on_episode is not None:
                    on_episode(trajectory)
        return gathered(finished, [request.group for request in requests], stats)

    async def stream(
        self,
        requests: Sequence[GroupRequest],
        *,
        run_seed: int = 0,
        stats: RolloutStats | None = None,
    ) -> AsyncGenerator[Trajectory, None]:
        """Yield each episode as soon as it ends, lost ones (`outcome.is_infrastructure`) too.

        Closing the generator (`contextlib.aclosing`) or cancelling the task stops all episodes
        and kills the workers that are amid a call.

        Args:
            requests: The groups.
            run_seed: The run's seed.
            stats: Filled while the collection runs.
        """
        run = self.open(run_seed=run_seed, stats=stats or RolloutStats())
        try:
            run.add(requests)
            run.finish()
            async for trajectory in run.results():
                yield trajectory
        finally:
            await run.stop()

    def open(self, *, run_seed: int, stats: RolloutStats, journal: Journal | None = None) -> Run:
        """Return slots that play whatever groups are added, until they are stopped.

        Args:
            run_seed: The run's seed.
            stats: Filled while episodes are played.
            journal: Told of every episode that begins and ends.
        """
        config = self._config
        slots = min(config.concurrency, self._pool.capacity or config.concurrency)
        settings = Settings(
            engine=self._engine, config=config, sampling=self._sampling, stats=stats
        )
        return Run(
            self._pool,
            self._dialogues,
            settings,
            run_seed=run_seed,
            slots=slots,
            environment=self._name,
            journal=journal,
        )


def gathered(
    finished: Sequence[Trajectory], groups: Sequence[str], stats: RolloutStats
) -> Collected:
    """Return episodes in the order of their groups and indices.

    Raises:
        EnvironmentFault: Every episode was lost.
        ConfigError: No episode's first prompt fits the context.
    """
    _refuse_emptiness(finished)
    place = {group: i for i, group in enumerate(groups)}
    ordered = sorted(finished, key=lambda t: (place[t.group], int(t.id.rpartition("/")[2])))
    return Collected(
        trajectories=[t for t in ordered if not t.outcome.is_infrastructure],
        stats=stats,
        lost=[t for t in ordered if t.outcome.is_infrastructure],
    )


def _refuse_emptiness(finished: Sequence[Trajectory]) -> None:
    """Raise where there is nothing to learn from and going on would only repeat the failure."""
    if not finished:
        return
    if all(t.outcome.is_infrastructure for t in finished):
        raise EnvironmentFault(
            f"all {len(finished)} episodes were lost to infrastructure; the first: "
            f"{finished[0].error}"
        )
    if all(t.outcome is Outcome.TRUNCATED_CONTEXT and not t.turns for t in finished):
        raise ConfigError(
            f"the first prompt of every episode is too long for the context or token budget "
            f"(task {finished[0].task_id!r}); use a model with a longer context, a shorter "
            "dialogue.system or a smaller dialogue.max_turn_tokens"
        )


__all__ = ["Collected", "Collector", "GroupRequest"]
