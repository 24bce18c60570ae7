"""When groups of episodes may begin, and which of the finished ones an update trains on.

Update n trains the policy of version n - 1 into version n. A group whose episodes begin under
version v is trained on by update v + 1 + `ahead` at the latest: its *deadline*. Two rules keep that
promise without throwing an episode away, however long some of them take:

- a group begins only while all open groups, and it, fit into the updates up to its deadline;
- an update waits for older groups where the later updates had no room for them otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentrl.config import ScheduleConfig
from agentrl.errors import ConfigError
from agentrl.rollout.requests import GroupRequest
from agentrl.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Schedule:
    """How far collecting may run ahead of learning."""

    ahead: int
    """Most updates between the policy that begins a group and the policy trained with it."""
    waits: bool
    """Whether episodes in flight end before the weights change: each then has one policy."""

    @classmethod
    def of(cls, config: ScheduleConfig) -> Schedule:
        """Return the schedule of a configuration.

        Raises:
            ConfigError: The device is to be shared by a schedule that needs it all the time.
        """
        if config.share_device and config.kind != "sync":
            raise ConfigError(
                f"schedule.share_device needs schedule.kind=sync: with {config.kind} engine and "
                "learner work at the same time"
            )
        ahead = {"sync": 0, "one_step_off": 1, "async": config.max_staleness}[config.kind]
        return cls(ahead, waits=config.kind != "async")

    def deadline(self, version: int) -> int:
        """Return the last update that may train on a group begun under this version."""
        return version + 1 + self.ahead

    def room(self, version: int, next_update: int, tasks: int) -> int:
        """Return how many groups may be open at a time.

        Args:
            version: The version that new groups begin under.
            next_update: The next update to take groups.
            tasks: Groups per update.
        """
        updates = max(0, self.deadline(version) - next_update + 1)
        # Without a choice of groups an update trains on the same ones every time.
        return (min(updates, 1) if self.waits else updates) * tasks


@dataclass(slots=True, eq=False)
class OpenGroup:
    """A group that has begun and that no update has taken yet."""

    place: int
    """Its number in the order of the plan."""
    request: GroupRequest
    deadline: int
    """The last update that may train on it."""
    waiting: int
    """Episodes that have not ended."""
    episodes: list[Trajectory]
    """Those that have, lost ones included."""
    ended: int = 0
    """When its last episode ended, as a count; groups that ended earlier are taken earlier."""

    def take(self, trajectory: Trajectory) -> None:
        """Count an ended episode in; one that was lost is replaced once."""
        self.episodes.append(trajectory)
        index = int(trajectory.id.rpartition("/")[2])
        is_replaced = trajectory.outcome.is_infrastructure and index < self.request.size
        self.waiting -= not is_replaced


def choose(groups: Sequence[OpenGroup], update: int, tasks: int) -> list[OpenGroup] | None:
    """Return the groups that an update trains on, or None while it has to wait.

    Args:
        groups: All open groups.
        update: The update's number; no group's deadline is before it.
        tasks: How many it takes.
    """
    ready = sorted((g for g in groups if not g.waiting), key=lambda g: g.ended)
    taken: list[OpenGroup] = []
    for deadline in sorted({group.deadline for group in groups}):
        until_then = [group for group in groups if group.deadline <= deadline]
        # What the updates between this one and the deadline cannot take.
        due = len(until_then) - (deadline - update) * tasks
        due -= sum(group.deadline <= deadline for group in taken)
        older = [g for g in ready if g.deadline <= deadline and g not in taken]
        if due > len(older):
            return None
        taken += older[: max(0, due)]
    rest = [group for group in ready if group not in taken]
    taken += rest[: max(0, tasks - len(taken))]
    if len(taken) < tasks:
        return None
    return sorted(taken, key=lambda group: group.place)
