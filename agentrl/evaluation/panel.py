"""The task panel: which tasks an evaluation plays, fixed by id and content.

A panel is the first tasks of a split, written down with the fingerprint of each, so that two
evaluations of the same panel have played the same tasks and not only tasks of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from agentrl.errors import DataError, TaskError
from agentrl.evaluation.results import Key
from agentrl.storage.atomic import replacing
from agentrl.tasks import TaskSet, panel_digest


@dataclass(frozen=True, slots=True)
class Panel:
    """Tasks to evaluate on."""

    environment: str
    split: str
    fingerprints: dict[str, str]
    """Content hash by task id, in the order of the split."""

    @property
    def name(self) -> str:
        """The split with the hash of tasks and contents, such as `test@3fa2c09b17de`."""
        return f"{self.split}@{panel_digest(self.fingerprints)}"

    def attempts(self, count: int) -> list[Key]:
        """Return the first `count` attempts at each task, task by task."""
        tasks = self.fingerprints.items()
        return [(task, content, n) for task, content in tasks for n in range(count)]

    @classmethod
    def first(cls, environment: str, tasks: TaskSet, split: str, size: int) -> Panel:
        """Return the first `size` tasks of a split, all where it has fewer.

        Raises:
            TaskError: No such split, or it has no tasks.
        """
        ids = list(islice(iter(tasks.ids(split)), size))
        if not ids:
            raise TaskError(f"split {split!r} of {environment!r} has no tasks to evaluate on")
        return cls(environment, split, {id_: tasks.fingerprint(id_) for id_ in ids})

    @classmethod
    def load(cls, path: Path, tasks: TaskSet) -> Panel:
        """Return the panel of a file after comparing every task with what it is now.

        Raises:
            DataError: The file cannot be read.
            TaskError: A task is gone or is another one by now.
        """
        try:
            panel = msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise DataError(f"cannot read the panel {path}: {error.strerror}") from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(f"{path} is not a task panel: {error}") from None
        changed = panel.changed(tasks)
        if changed:
            raise TaskError(
                f"{len(changed)} of the {len(panel.fingerprints)} tasks in {path} are not what "
                f"they were when it was written, {changed[0]!r} first; results would not be "
                "comparable: restore the tasks, or delete the panel to start a new one"
            )
        return panel

    @classmethod
    def keep(cls, path: Path, environment: str, tasks: TaskSet, split: str, size: int) -> Panel:
        """Return a panel of `size` tasks that agrees with the file, which is made or extended.

        Raises:
            DataError: The file cannot be read or written.
            TaskError: A task in the file is gone or is another one by now.
        """
        wanted = cls.first(environment, tasks, split, size)
        if path.exists():
            kept = cls.load(path, tasks)
            ids, new = list(kept.fingerprints), list(wanted.fingerprints)
            shared = min(len(ids), len(new))
            if ids[:shared] != new[:shared]:
                raise TaskError(
                    f"split {split!r} of {environment!r} now begins with other tasks than the "
                    f"panel {path}; restore the split, or delete the panel to start a new one"
                )
            if len(ids) >= len(new):
                return wanted
        wanted.save(path)
        return wanted

    def save(self, path: Path) -> None:
        """Write the panel as JSON.

        Raises:
            DataError: The file cannot be written.
        """
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        with replacing(path) as unfinished:
            unfinished.write_bytes(text + b"\n")

    def changed(self, tasks: TaskSet) -> list[str]:
        """Return the ids of tasks that are gone or have another content now."""
        return [id_ for id_, known in self.fingerprints.items() if _now(tasks, id_) != known]


def _now(tasks: TaskSet, task_id: str) -> Any:
    try:
        tasks.split_of(task_id)
    except TaskError:
        return None
    return tasks.fingerprint(task_id)
