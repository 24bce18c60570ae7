"""Tasks and the disjoint splits they come in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentrl.errors import TaskError, did_you_mean

_MOST_COMPARED = 20_000
"""Ids of a split that are searched for one that is like an unknown one."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do: what an episode is an attempt at."""

    id: str
    """Unique in its task set and the same on every machine."""
    split: str
    """The split it belongs to."""
    data: Any = None
    """What the environment needs to play it."""


class TaskSet:
    """Tasks in named, disjoint splits.

    A split is a sequence of task ids and may be lazy (`SeededIds`), so a set of ten million
    generated tasks costs nothing until a task is played. Splits not named in `training` are held
    out: the trainer refuses to learn from them.
    """

    def __init__(
        self,
        splits: Mapping[str, Sequence[str]],
        load: Callable[[str], Any] | None = None,
        *,
        training: Sequence[str] = ("train",),
        fingerprint: Callable[[str], str] | None = None,
    ) -> None:
        """Build a task set.

        Args:
            splits: Task ids by split name.
            load: Returns the data of a task id; called each time a task is asked for.
            training: The splits that may be trained on.
            fingerprint: Returns the content hash of a task id; default hashes the id.
        """
        self.splits = dict(splits)
        self.training = frozenset(training)
        self._load = load
        self._fingerprint = fingerprint

    @classmethod
    def seeded(cls, *, training: Sequence[str] = ("train",), **sizes: int) -> TaskSet:
        """Return generated tasks `train/0`, `train/1`, …: a task is nothing but its own seed."""
        return cls({name: SeededIds(name, size) for name, size in sizes.items()}, training=training)

    def ids(self, split: str) -> Sequence[str]:
        """Return the task ids of a split.

        Raises:
            TaskError: No such split.
        """
        if split not in self.splits:
            raise TaskError(f"unknown split {split!r}; {did_you_mean(split, self.splits)}")
        return self.splits[split]

    def size(self, split: str) -> int:
        """Return how many tasks a split has."""
        return len(self.ids(split))

    def at(self, split: str, index: int) -> Task:
        """Return the task at a position of a split."""
        return self._task(self.ids(split)[index], split)

    def get(self, task_id: str) -> Task:
        """Return a task by id.

        Raises:
            TaskError: No split has it.
        """
        return self._task(task_id, self.split_of(task_id))

    def split_of(self, task_id: str) -> str:
        """Return the name of the split that holds a task.

        Raises:
            TaskError: No split has it.
        """
        for name, ids in self.splits.items():
            if task_id in ids:
                return name
        raise TaskError(f"unknown task {task_id!r}; {self._hint(task_id)}")

    def _hint(self, task_id: object) -> str:
        """Return which task may have been meant, or else the splits."""
        name = str(task_id).partition("/")[0]
        ids = self.splits.get(name, ())
        if not isinstance(ids, SeededIds) and len(ids) <= _MOST_COMPARED:
            hint = did_you_mean(str(task_id)[:1000], ids)
            if hint.startswith("did"):
                return hint
        return f"splits here: {', '.join(sorted(self.splits))}"

    def fingerprint(self, task_id: str) -> str:
        """Return a hash of the task's content, equal on every machine (16 hex digits)."""
        if self._fingerprint is not None:
            return self._fingerprint(task_id)
        return hashlib.sha256(task_id.encode()).hexdigest()[:16]

    @property
    def has_fingerprint(self) -> bool:
        """Whether the task set hashes contents itself; otherwise the id stands for them."""
        return self._fingerprint is not None

    def is_held_out(self, split: str) -> bool:
        """Return whether training on a split is forbidden."""
        self.ids(split)
        return split not in self.training

    def _task(self, task_id: str, split: str) -> Task:
        return Task(task_id, split, self._load(task_id) if self._load is not None else None)


class SeededIds(Sequence[str]):
    """The ids `prefix/0` … `prefix/size-1`, made when asked for."""

    def __init__(self, prefix: str, size: int) -> None:
        """Name the ids by prefix and count."""
        self._prefix = prefix
        self._size = size

    def __len__(self) -> int:
        """Return how many ids there are."""
        return self._size

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # slices are not needed
        """Return the id at a position."""
        position = range(self._size)[index]
        return f"{self._prefix}/{position}"

    def __contains__(self, item: object) -> bool:
        """Return whether `item` is one of the ids, without walking them."""
        if not isinstance(item, str):
            return False
        prefix, _, number = item.rpartition("/")
        if prefix != self._prefix or not number.isascii() or not number.isdigit():
            return False
        return number == str(int(number[:19])) and int(number) < self._size


def panel_digest(fingerprints: Mapping[str, str]) -> str:
    """Return the hash that names a set of tasks (12 hex digits), whatever their order.

    Args:
        fingerprints: Content hash by task id.
    """
    lines = sorted(f"{task_id}\t{content}\n" for task_id, content in fingerprints.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:12]


def task_seed(task_id: str) -> int:
    """Return a 63-bit seed that depends on the task id alone."""
    digest = hashlib.sha256(task_id.encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
