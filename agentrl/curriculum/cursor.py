"""Which task next: a seeded walk through a split whose whole state is one number."""

from __future__ import annotations

import numpy as np

from agentrl.tasks import TaskSet

_SHUFFLED_SIZE = 1_000_000


class TaskCursor:
    """Hands out the tasks of a split in a seeded order.

    A split of up to a million tasks is shuffled anew for each pass, so that every task comes once
    before any comes twice. A larger (generated) split is sampled: repeats are rare, and nothing of
    its size is kept in memory.
    """

    def __init__(
        self,
        tasks: TaskSet,
        split: str,
        seed: int,
        position: int = 0,
        *,
        limit: int | None = None,
    ) -> None:
        """Prepare to walk.

        Args:
            tasks: The task set.
            split: The split to walk through.
            seed: Decides the order.
            position: The number of tasks handed out before.
            limit: Only the first so many tasks of the split; None: all.
        """
        self._ids = tasks.ids(split)
        self._size = min(len(self._ids), limit or len(self._ids))
        self._seed = seed
        self.position = position
        self._pass = -1
        self._order = np.empty(0, np.int64)

    def take(self, count: int) -> list[str]:
        """Return the next `count` task ids."""
        taken = [self._ids[self._index(self.position + k)] for k in range(count)]
        self.position += count
        return taken

    def _index(self, position: int) -> int:
        size = self._size
        if size > _SHUFFLED_SIZE:
            return int(np.random.default_rng([self._seed, position]).integers(size))
        turn, place = divmod(position, size)
        if turn != self._pass:
            self._pass = turn
            self._order = np.random.default_rng([self._seed, turn]).permutation(size)
        return int(self._order[place])
