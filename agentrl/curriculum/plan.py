"""Which groups a run plays, in order: a pure function of its configuration."""

from __future__ import annotations

from agentrl.config import Config
from agentrl.curriculum.cursor import TaskCursor
from agentrl.rollout.requests import GroupRequest
from agentrl.rollout.seeds import group_seed
from agentrl.tasks import TaskSet


class GroupPlan:
    """The groups of a run: those of update 1 first, `rollout.tasks` for each update."""

    def __init__(self, config: Config, tasks: TaskSet) -> None:
        """Plan the run of a configuration over its environment's tasks."""
        self._config = config
        self._cursor = TaskCursor(tasks, config.env.split, config.seed, limit=config.env.tasks)

    def __call__(self, place: int) -> GroupRequest:
        """Return the group at a place in the run, counted from 0; it is named `UPDATE/PLACE`."""
        config = self._config
        before, within = divmod(place, config.rollout.tasks)
        self._cursor.position = place
        (task,) = self._cursor.take(1)
        return GroupRequest(
            group=f"{before + 1:06d}/{within:03d}",
            task_id=task,
            split=config.env.split,
            size=config.rollout.group_size,
            seed=group_seed(config.seed, before + 1, task),
        )
