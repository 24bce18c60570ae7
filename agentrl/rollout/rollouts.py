"""Episodes collected for a run's updates, while or before the policy is trained.

The same loop for every schedule: `take` the episodes of an update, train, count them as `trained`,
`settle`, hand the new weights to the engine, `advance`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from agentrl.errors import ConfigError
from agentrl.rollout.collector import Collector, gathered
from agentrl.rollout.requests import Collected, GroupRequest, Journal
from agentrl.rollout.run import Run
from agentrl.rollout.schedule import OpenGroup, Schedule, choose
from agentrl.rollout.stats import RolloutStats
from agentrl.trajectory import Trajectory

Plan = Callable[[int], GroupRequest]
"""The group at a place in the order of the run: a pure function."""


class Rollouts:
    """Plays the groups of a plan, as far ahead as the schedule lets it."""

    def __init__(
        self,
        collector: Collector,
        plan: Plan,
        schedule: Schedule,
        *,
        tasks: int,
        updates: int,
        run_seed: int,
        version: int = 0,
        journal: Journal | None = None,
    ) -> None:
        """Prepare to play; nothing begins before the first `take`.

        Args:
            collector: Plays.
            plan: What to play.
            schedule: When to begin it.
            tasks: Groups per update.
            updates: Of the whole run.
            run_seed: The run's seed.
            version: What the engine serves: the updates done so far.
            journal: Told of every episode.
        """
        self._collector = collector
        self._plan = plan
        self._schedule = schedule
        self._tasks = tasks
        self._total = updates * tasks
        self._run_seed = run_seed
        self._journal = journal
        self._version = version
        self._next_update = version + 1
        self._place = version * tasks
        self._again: list[int] = []
        self._taken: list[int] = []
        self._open: dict[str, OpenGroup] = {}
        self._ended = 0
        self._stats = RolloutStats()
        self._since = time.perf_counter()
        self._run: Run | None = None
        self._pump: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def take(self, update: int) -> Collected:
        """Return the groups that an update trains on; wait until they have ended.

        Raises:
            EnvironmentFault: Every episode was lost.
            ConfigError: No episode's first prompt fits the context.
            RuntimeError: The plan has no groups left for this update.
        """
        self._next_update = update
        self._begin()
        chosen = choose(list(self._open.values()), update, self._tasks)
        while chosen is None:
            await self._more()
            chosen = choose(list(self._open.values()), update, self._tasks)
        for group in chosen:
            del self._open[group.request.group]
        self._taken = [group.place for group in chosen]
        self._next_update = update + 1
        self._begin()
        return self._collected(chosen)

    def trained(self) -> None:
        """Count the groups taken as trained on: a state does not begin them again."""
        self._taken = []

    async def settle(self) -> None:
        """Return when the weights may change: at once, or once no episode is in flight."""
        while self._schedule.waits and any(group.waiting for group in self._open.values()):
            await self._more()

    def advance(self, version: int) -> None:
        """Take note that the engine serves this version now."""
        self._version = version
        # Without a head start nothing begins before it is asked for: an evaluation comes first.
        if self._schedule.ahead:
            self._begin()

    def state_dict(self) -> dict[str, Any]:
        """Return what to go on from: groups that no update has trained on begin again."""
        waiting = [*self._again, *self._taken, *(group.place for group in self._open.values())]
        return {"next": self._place, "again": sorted(waiting), "tasks": self._tasks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ConfigError: It numbers the groups of updates of another size.
        """
        before = int(state["tasks"])
        if before != self._tasks:
            # The same places would get other names, some of them of groups trained on already.
            raise ConfigError(
                f"rollout.tasks is {self._tasks}, but this run was begun with {before}, by which "
                f"its groups are numbered; set rollout.tasks to {before} again, or start a new run"
            )
        self._place = int(state["next"])
        self._again = [int(place) for place in state["again"]]

    async def close(self) -> None:
        """Stop all episodes."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if self._run is not None:
            await self._run.stop()

    def _begin(self) -> None:
        """Let groups begin while there is room for them."""
        room = self._schedule.room(self._version, self._next_update, self._tasks)
        requests = []
        while len(self._open) < room and (self._again or self._place < self._total):
            place = self._again.pop(0) if self._again else self._place
            self._place = max(self._place, place + 1)
            request = self._plan(place)
            deadline = self._schedule.deadline(self._version)
            self._open[request.group] = OpenGroup(place, request, deadline, request.size, [])
            requests.append(request)
        if requests:
            self._playing().add(requests)

    def _playing(self) -> Run:
        if self._run is None:
            self._since = time.perf_counter()
            self._run = self._collector.open(
                run_seed=self._run_seed, stats=self._stats, journal=self._journal
            )
            self._pump = asyncio.create_task(self._collect(self._run))
        return self._run

    async def _collect(self, run: Run) -> None:
        """Sort ended episodes into their groups; end only with a failure."""
        try:
            async for trajectory in run.results():
                self._add(trajectory)
        finally:
            self._news.set()

    def _add(self, trajectory: Trajectory) -> None:
        group = self._open[trajectory.group]
        group.take(trajectory)
        if not group.waiting:
            self._ended += 1
            group.ended = self._ended
            self._news.set()

    async def _more(self) -> None:
        """Wait until a group has ended; raise what ended the collection."""
        if self._pump is not None and self._pump.done():
            self._pump.result()
        if not any(group.waiting for group in self._open.values()):
            raise RuntimeError(
                f"no episode is in flight and none can begin, but update {self._next_update} waits "
                f"for {self._tasks} groups: {len(self._open)} have ended, and the run plans "
                f"{self._total} in all, {self._place} of which have begun"
            )
        self._news.clear()
        await self._news.wait()
        if self._pump is not None and self._pump.done():
            self._pump.result()

    def _collected(self, chosen: list[OpenGroup]) -> Collected:
        now = time.perf_counter()
        stats = self._stats.take()
        stats.seconds, self._since = now - self._since, now
        finished = [trajectory for group in chosen for trajectory in group.episodes]
        return gathered(finished, [group.request.group for group in chosen], stats)
