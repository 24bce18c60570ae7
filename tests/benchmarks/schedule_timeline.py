"""What the schedules would take on two devices, from what a synchronous run took on one.

A simulation by events. The rules are the real ones (`agentrl.rollout.schedule`) and the loop is
that of `agentrl.trainer`; only the clock is not. Episodes are as long as they were, in tokens, and
an engine with n of them in flight takes `fixed + each * n` seconds to give every one its next
token, as fitted to when the run's episodes began and ended. Learning and weight updates take what
they took; while weights change the engine gives no tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agentrl.rollout.requests import GroupRequest
from agentrl.rollout.schedule import OpenGroup, Schedule, choose


@dataclass(frozen=True, slots=True)
class Played:
    """An episode of a run."""

    begin: float
    end: float
    tokens: int
    """Sampled ones."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an engine takes to give each of its episodes one token."""

    fixed: float
    each: float

    def step(self, episodes: int) -> float:
        """Return the seconds with so many episodes in flight."""
        return self.fixed + self.each * episodes


@dataclass(frozen=True, slots=True)
class Measured:
    """What the synchronous run took."""

    tokens: list[list[int]]
    """Sampled in each episode of each group, in the order of the plan."""
    learning: list[float]
    """Seconds of each update."""
    sync: list[float]
    """Seconds until the engine had the weights, for each update."""
    slots: int
    """Most episodes in flight."""
    pace: Pace


@dataclass(frozen=True, slots=True)
class Span:
    """What a device did for a while."""

    begin: float
    end: float
    label: int
    """Of the learner: the update. Of the engine: the version of the policy it served."""
    load: float = 1.0
    """Share of the engine's slots in use."""


@dataclass(slots=True)
class Timeline:
    """What happened when."""

    engine: list[Span]
    learner: list[Span] = field(default_factory=list)
    syncs: list[Span] = field(default_factory=list)
    staleness: list[int] = field(default_factory=list)
    """Of each group when it was trained on."""

    @property
    def seconds(self) -> float:
        """From the first episode to the last update."""
        return self.learner[-1].end

    def busy(self, spans: Sequence[Span]) -> float:
        """Return the share of the time that a device worked at all."""
        return sum(span.end - span.begin for span in spans) / self.seconds


def fit_pace(episodes: Sequence[Played]) -> Pace:
    """Return the pace that explains best how long episodes took, given what else was in flight."""
    begins, ends = (np.array([getattr(e, name) for e in episodes]) for name in ("begin", "end"))
    tokens = np.array([e.tokens for e in episodes], np.float64)
    shared = np.minimum(ends[:, None], ends) - np.maximum(begins[:, None], begins)
    load = shared.clip(0).sum(1) / (ends - begins)
    terms = np.stack([tokens, tokens * load], 1)
    fixed, each = map(float, np.linalg.lstsq(terms, ends - begins, rcond=None)[0])
    if min(fixed, each) >= 0:
        return Pace(fixed, each)
    term = terms[:, 0] if each < 0 else terms[:, 1]
    alone = float(term @ (ends - begins) / (term @ term))
    return Pace(alone, 0.0) if each < 0 else Pace(0.0, alone)


class Engine:
    """Plays episodes in slots, all at the same speed."""

    def __init__(self, slots: int, pace: Pace) -> None:
        self.now = 0.0
        self.version = 0
        self.spans: list[Span] = []
        self._slots = slots
        self._pace = pace
        self._waiting: deque[tuple[float, OpenGroup]] = deque()
        self._playing: list[tuple[float, OpenGroup]] = []
        """Tokens to go, and the episode's group."""
        self._ended = 0

    def add(self, group: OpenGroup, tokens: Sequence[int]) -> None:
        """Play a group's episodes after all others."""
        self._waiting.extend((float(count), group) for count in tokens)
        self._fill()

    def work(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self._playing and self.now < until:
            self._give(min(until - self.now, self._next_end()))
        self.now = until

    def work_to_an_end(self) -> None:
        """Let time pass until an episode has ended."""
        self._give(self._next_end())

    def rest(self, seconds: float) -> None:
        """Let time pass without a token."""
        self.now += seconds

    def _next_end(self) -> float:
        return min(togo for togo, _ in self._playing) * self._pace.step(len(self._playing))

    def _give(self, seconds: float) -> None:
        tokens = seconds / self._pace.step(len(self._playing))
        load = len(self._playing) / self._slots
        self.spans.append(Span(self.now, self.now + seconds, self.version, load))
        self.now += seconds
        playing, self._playing = self._playing, []
        for togo, group in playing:
            if togo - tokens > 1e-6:
                self._playing.append((togo - tokens, group))
                continue
            group.waiting -= 1
            if not group.waiting:
                self._ended += 1
                group.ended = self._ended
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._playing) < self._slots:
            self._playing.append(self._waiting.popleft())


def simulate(measured: Measured, schedule: Schedule) -> Timeline:
    """Return how a schedule would go with engine and learner on devices of their own."""
    updates = len(measured.learning)
    tasks = len(measured.tokens) // updates
    engine = Engine(measured.slots, measured.pace)
    timeline = Timeline(engine.spans)
    plan = deque(enumerate(measured.tokens))
    groups: list[OpenGroup] = []

    def begin(next_update: int) -> None:
        room = schedule.room(engine.version, next_update, tasks)
        while len(groups) < room and plan:
            place, tokens = plan.popleft()
            request = GroupRequest(str(place), "", size=len(tokens))
            deadline = schedule.deadline(engine.version)
            groups.append(OpenGroup(place, request, deadline, len(tokens), []))
            engine.add(groups[-1], tokens)

    for update in range(1, updates + 1):
        begin(update)
        while (chosen := choose(groups, update, tasks)) is None:
            engine.work_to_an_end()
        groups[:] = [group for group in groups if group not in chosen]
        timeline.staleness += [update + schedule.ahead - group.deadline for group in chosen]
        begin(update + 1)
        timeline.learner.append(
            Span(engine.now, engine.now + measured.learning[update - 1], update)
        )
        engine.work(measured.learning[update - 1])
        while schedule.waits and any(group.waiting for group in groups):
            engine.work_to_an_end()
        timeline.syncs.append(Span(engine.now, engine.now + measured.sync[update - 1], update))
        engine.rest(measured.sync[update - 1])
        engine.version = update
    return timeline
