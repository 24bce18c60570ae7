"""Evaluation results: a file that grows by one line per attempt.

The first line holds the conditions, every other an attempt. A line is written with one system
call, so that a stopped evaluation loses no attempt that it finished and goes on with the rest.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from agentrl.errors import ConfigError, DataError
from agentrl.evaluation.conditions import Conditions
from agentrl.rollout.stats import COLLECTORS, PROMPT_TOKENS, SAMPLED_TOKENS
from agentrl.storage.atomic import append_whole
from agentrl.storage.lock import try_lock
from agentrl.trajectory import Outcome, Trajectory

Key = tuple[str, str, int]
"""An attempt's task, the fingerprint of the task's content, and its number."""

SYNC_SECONDS = 0.5
"""At most this often the file is forced onto the disk; it is so at the end, too."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One episode of an evaluation."""

    task: str
    attempt: int
    """Counted from 0."""
    fingerprint: str
    """Of the task's content."""
    outcome: Outcome
    score: float
    """What the episode earned; of no meaning for infrastructure outcomes."""
    turns: int
    invalid_turns: int = 0
    tokens: int = 0
    """Sampled tokens."""
    prompt_tokens: int = 0
    """Tokens read, over all turns, where an endpoint counts them."""
    error: str | None = None
    metrics: dict[str, float] = {}
    """Figures of the environment."""

    @classmethod
    def of(cls, trajectory: Trajectory, attempt: int, fingerprint: str) -> Self:
        """Return what is kept of an episode."""
        turns, figures = trajectory.turns, trajectory.metrics
        sampled = sum(len(turn.response_ids) for turn in turns)
        return cls(
            task=trajectory.task_id,
            attempt=attempt,
            fingerprint=fingerprint,
            outcome=trajectory.outcome,
            score=trajectory.reward,
            turns=len(turns),
            invalid_turns=sum(not turn.valid for turn in turns),
            tokens=int(figures.get(SAMPLED_TOKENS, sampled)),
            prompt_tokens=int(figures.get(PROMPT_TOKENS, 0)),
            error=trajectory.error,
            metrics={k: v for k, v in figures.items() if k not in COLLECTORS},
        )

    @property
    def key(self) -> Key:
        """What was attempted: a task whose content changed is another one."""
        return self.task, self.fingerprint, self.attempt

    @property
    def is_scored(self) -> bool:
        """Whether the agent was judged, and not the machinery."""
        return not self.outcome.is_infrastructure


class _Header(msgspec.Struct, frozen=True):
    conditions: Conditions


@dataclass(slots=True)
class Results:
    """What a results file holds."""

    conditions: Conditions
    attempts: list[Attempt]
    """In the order in which they ended; lost ones and what replaced them are both here."""
    complete_bytes: int = field(default=0, repr=False)
    """Where the last complete line ends."""

    def final(self) -> dict[Key, Attempt]:
        """Return the verdict on each attempt: a scored one wherever there is one."""
        verdicts: dict[Key, Attempt] = {}
        for attempt in self.attempts:
            if attempt.key not in verdicts or not verdicts[attempt.key].is_scored:
                verdicts[attempt.key] = attempt
        return verdicts


def read_results(path: Path) -> Results:
    """Return the results of a file; a line cut off at its end is left out.

    Raises:
        DataError: The file is missing or damaged; names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the results {path}: {error.strerror}") from None
    end = data.rfind(b"\n") + 1
    lines = data[:end].split(b"\n")[:-1]
    if not lines:
        raise DataError(f"{path} holds no evaluation; delete it")
    try:
        conditions = msgspec.json.decode(lines[0], type=_Header).conditions
    except (msgspec.MsgspecError, ValueError):
        raise DataError(f"{path}, line 1: not the conditions of an evaluation") from None
    return Results(conditions, [_attempt(path, i, s) for i, s in enumerate(lines[1:], 2)], end)


class ResultsFile:
    """Appends attempts; one evaluation at a time."""

    def __init__(self, path: Path, conditions: Conditions) -> None:
        """Start a file, or go on with one.

        Raises:
            ConfigError: The file was made under other conditions, or another evaluation is
                writing to it.
            DataError: It is damaged, or cannot be written or locked.
        """
        self.path = path
        self.results = Results(conditions, [])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}") from None
        try:
            if not try_lock(self._file):
                raise ConfigError(f"another evaluation is writing to {path}; wait for it")
            self._go_on(conditions)
        except BaseException:
            self._file.close()
            raise
        self._synced = time.monotonic()

    def append(self, attempt: Attempt) -> None:
        """Write an attempt down.

        Raises:
            DataError: The disk is full or gone.
        """
        self._write(msgspec.json.encode(attempt))
        self.results.attempts.append(attempt)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Force everything onto the disk and let others write."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _go_on(self, conditions: Conditions) -> None:
        if b"\n" not in self.path.read_bytes():
            self._file.truncate(0)
            self._write(msgspec.json.encode(_Header(conditions)))
            return
        self.results = read_results(self.path)
        if self.results.conditions != conditions:
            raise ConfigError(
                f"{self.path} was made under other conditions "
                f"({_difference(self.results.conditions, conditions)}); name another file"
            )
        self._file.truncate(self.results.complete_bytes)

    def _write(self, line: bytes) -> None:
        try:
            append_whole(self._file.fileno(), line + b"\n")
        except OSError as error:
            raise DataError(
                f"cannot write {self.path}: {error.strerror}; the attempts before are kept, and "
                "the same command goes on with the rest"
            ) from None


def _attempt(path: Path, number: int, line: bytes) -> Attempt:
    try:
        return msgspec.json.decode(line, type=Attempt)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DataError(f"{path}, line {number}: not an attempt: {error}") from None


def _difference(old: Conditions, new: Conditions) -> str:
    changes = [
        f"{name} was {getattr(old, name)!r}, is {getattr(new, name)!r}"
        for name in Conditions.__struct_fields__
        if getattr(old, name) != getattr(new, name)
    ]
    return "; ".join(changes)
