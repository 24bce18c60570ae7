"""What a collection is asked for and what it brings in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from agentrl.rollout.stats import RolloutStats
from agentrl.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class GroupRequest:
    """Episodes of one task to play."""

    group: str
    """Unique in a run; trajectory ids are `group/index`."""
    task_id: str
    split: str = "train"
    size: int = 1
    """How many episodes."""
    seed: int = 0
    """Seeds the environment, alike in all episodes of the group."""


class Journal(Protocol):
    """Is told of episodes, such as `agentrl.storage.ledger.Ledger`."""

    def begun(self, episode: str) -> None:
        """An attempt at an episode begins; the same one again where an attempt failed."""
        ...

    def ended(self, trajectory: Trajectory) -> None:
        """An episode is over: scored, or lost after all attempts."""
        ...


@dataclass(slots=True)
class Collected:
    """What a collection brought in."""

    trajectories: list[Trajectory]
    """Scored episodes: groups in the order asked for, episodes in the order of their index."""
    stats: RolloutStats
    lost: list[Trajectory] = field(default_factory=list)
    """Episodes given up to infrastructure, with the turns up to the failure; never scored."""
