"""The ledger of a run: what became of every episode, in an append-only file.

    {"event": "opened", "update": 4}                    a process goes on from update 4
    {"event": "begun", "episode": "000005/003/1"}       again where an attempt failed
    {"event": "ended", "episode": …, "outcome": "success", "digest": "9c1f…"}
    {"event": "trained", "update": 5, "episodes": {"000005/003/1": "9c1f…", …}}
    {"event": "closed"}                                 the process ended in order

Every line also has its `time`, in seconds of the epoch.

Updates after the one that a later process goes on from are undone: their episodes count as such,
and are played again. The digest is of the episode's token ids, so that it shows that what was
trained on is what was played.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agentrl.batch import Batch
from agentrl.errors import DataError
from agentrl.trajectory import Outcome, Trajectory

_LOST = frozenset(outcome.value for outcome in Outcome if outcome.is_infrastructure)


class Ledger:
    """Writes a run's ledger; a `agentrl.rollout.requests.Journal`."""

    def __init__(self, path: Path, *, update: int) -> None:
        """Append to the ledger; a line that a kill cut off is removed.

        Args:
            path: The file.
            update: The update that this process goes on from.
        """
        _mend(path)
        # A line reaches the system before the next one is begun: a killed process loses none.
        self._file = path.open("a", buffering=1)
        self._write("opened", update=update)

    def begun(self, episode: str) -> None:
        """An attempt at an episode begins."""
        self._write("begun", episode=episode)

    def ended(self, trajectory: Trajectory) -> None:
        """An episode is over: scored, or lost."""
        ids = [part for turn in trajectory.turns for part in (turn.prompt_ids, turn.response_ids)]
        self._write(
            "ended",
            episode=trajectory.id,
            outcome=trajectory.outcome.value,
            digest=_digest(np.concatenate(ids) if ids else np.empty(0, np.int32)),
        )

    def trained(self, update: int, batch: Batch) -> None:
        """An update was trained on a batch."""
        bounds = batch.token_offsets[batch.turn_offsets]
        digests = {
            name: _digest(batch.token_ids[bounds[i] : bounds[i + 1]])
            for i, name in enumerate(batch.ids)
        }
        self._write("trained", update=update, episodes=digests)

    def close(self) -> None:
        """End in order."""
        if not self._file.closed:
            self._write("closed")
            self._file.close()

    def _write(self, event: str, **values: Any) -> None:
        line = {"event": event, "time": round(time.time(), 3), **values}
        self._file.write(json.dumps(line) + "\n")


@dataclass(slots=True)
class Balance:
    """What a ledger adds up to."""

    updates: int = 0
    """Updates that count."""
    processes: int = 0
    """How often the run was started or resumed."""
    begun: int = 0
    """Episodes begun, each process counted for itself."""
    repeated: int = 0
    """Attempts after the first."""
    fates: Counter[str] = field(default_factory=Counter)
    """What became of them: `trained` in an update that counts, `undone` with an update that does
    not, `lost` to infrastructure, `dropped` untrained when the process ended, or `in flight`."""
    problems: list[str] = field(default_factory=list)
    """What must not be: an episode trained on twice, without having ended, or with other tokens;
    an update trained twice or out of turn."""

    @property
    def is_even(self) -> bool:
        """Whether every episode has exactly one fate, and nothing is wrong."""
        return self.begun == self.fates.total() and not self.problems


@dataclass(slots=True)
class _Process:
    """What one process wrote."""

    start: int
    attempts: Counter[str] = field(default_factory=Counter)
    digests: dict[str, str | None] = field(default_factory=dict)
    """Of ended episodes; None: lost."""
    updates: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """As written, so that one trained twice shows."""
    is_closed: bool = False


def balance(path: Path) -> Balance:
    """Add up a ledger.

    Raises:
        DataError: It is missing or damaged.
    """
    found = Balance()
    processes = list(_processes(path))
    found.processes = len(processes)
    trained: dict[str, int] = {}
    for index, process in enumerate(processes):
        later = min((p.start for p in processes[index + 1 :]), default=None)
        _settle(process, later, trained, found)
    if sorted(set(trained.values())) != list(range(1, found.updates + 1)):
        found.problems.append("the updates that count are not 1, 2, 3, … without a gap")
    return found


def _settle(process: _Process, later: int | None, trained: dict[str, int], found: Balance) -> None:
    """Give every episode of one process its fate.

    Args:
        process: The process.
        later: The update that a later one went on from: those after it are undone.
        trained: Episodes trained on so far, by the update; those of this process are added.
        found: Takes up the figures.
    """
    found.begun += len(process.attempts)
    found.repeated += process.attempts.total() - len(process.attempts)
    fates: dict[str, str] = {}
    for due, (update, episodes) in enumerate(process.updates, process.start + 1):
        if update != due:
            found.problems.append(
                f"update {update} was trained where {due} was due, by a process that went on from "
                f"update {process.start}"
            )
        counts = later is None or update <= later
        found.updates += counts
        for episode, digest in episodes.items():
            found.problems += _faults(process, episode, digest, fates)
            if counts and episode in trained:
                found.problems.append(
                    f"{episode} was trained on in updates {trained[episode]} and {update}"
                )
            if counts:
                trained[episode] = update
            fates[episode] = "trained" if counts else "undone"
    is_over = process.is_closed or later is not None
    for episode in process.attempts:
        if process.digests.get(episode, "") is None:
            fates.setdefault(episode, "lost")
        fates.setdefault(episode, "dropped" if is_over else "in flight")
    found.fates.update(fates.values())


def _faults(process: _Process, episode: str, digest: str, fates: dict[str, str]) -> Iterator[str]:
    """Say what is wrong with training on an episode."""
    if episode in fates:
        yield f"{episode} was trained on twice by one process"
    if episode not in process.attempts:
        yield f"{episode} was trained on but never begun"
    elif process.digests.get(episode) is None:
        yield f"{episode} was trained on but has not ended with a score"
    elif process.digests[episode] != digest:
        yield f"{episode} was trained on with other tokens than it was played with"


def _processes(path: Path) -> Iterator[_Process]:
    process: _Process | None = None
    for number, line in enumerate(_lines(path), 1):
        try:
            row = json.loads(line)
            if row["event"] == "opened":
                if process is not None:
                    yield process
                process = _Process(int(row["update"]))
            else:
                assert process is not None
                _enter(process, row)
        except (ValueError, KeyError, TypeError, AssertionError):
            raise DataError(f"{path} line {number} is damaged; restore the ledger") from None
    if process is not None:
        yield process


def _enter(process: _Process, row: dict[str, Any]) -> None:
    event = row["event"]
    if event == "begun":
        process.attempts[row["episode"]] += 1
    elif event == "ended":
        is_lost = row["outcome"] in _LOST
        process.digests[row["episode"]] = None if is_lost else row["digest"]
    elif event == "trained":
        process.updates.append((int(row["update"]), row["episodes"]))
    elif event == "closed":
        process.is_closed = True


def _lines(path: Path) -> Iterable[str]:
    try:
        text = path.read_text()
    except OSError as error:
        raise DataError(f"cannot read the ledger {path}: {error.strerror}") from None
    # A kill may have cut the last line off.
    return text[: text.rfind("\n") + 1].splitlines()


def _mend(path: Path) -> None:
    """Cut off an unfinished last line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _digest(ids: npt.NDArray[np.int32]) -> str:
    return blake2b(np.ascontiguousarray(ids, np.int32).tobytes(), digest_size=8).hexdigest()
