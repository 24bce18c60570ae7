"""How hard a generated game is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentrl.environments.alfworld.game import TaskType
from agentrl.errors import ConfigError

_ROOMS = ("kitchen", "livingroom", "bedroom", "bathroom")


@dataclass(frozen=True, slots=True)
class Level:
    """One degree of difficulty; equal levels and seeds give equal games."""

    name: str
    task_types: tuple[TaskType, ...]
    receptacles: tuple[int, int] | None
    """Fewest and most receptacles; None for a room of official size."""
    objects: tuple[int, int] | None
    """Fewest and most objects; None for as many as official rooms have."""
    closed_percent: int = 100
    """How many of the doors that the vocabulary allows there are."""
    rooms: tuple[str, ...] = _ROOMS


LEVELS: Mapping[int, Level] = {
    1: Level("1", (TaskType.PLACE,), (4, 5), (3, 6), closed_percent=0),
    2: Level("2", (TaskType.PLACE,), (5, 7), (4, 9)),
    3: Level("3", (TaskType.PLACE, TaskType.LOOK, TaskType.CLEAN), (6, 9), (6, 12)),
    4: Level(
        "4",
        (TaskType.PLACE, TaskType.LOOK, TaskType.CLEAN, TaskType.HEAT, TaskType.COOL),
        (8, 12),
        (8, 16),
    ),
    5: Level("5", tuple(TaskType), (10, 18), (10, 24)),
    6: Level("6", tuple(TaskType), None, None),
}
"""From four open receptacles and one task type (1) to full rooms with all six (6)."""

FULL = max(LEVELS)


def level_of(difficulty: int | Level) -> Level:
    """Return the level that a difficulty names.

    Raises:
        ConfigError: There is no such level.
    """
    if isinstance(difficulty, Level):
        return difficulty
    if difficulty not in LEVELS:
        raise ConfigError(
            f"unknown ALFWorld difficulty {difficulty!r}; use a whole number from "
            f"{min(LEVELS)} to {max(LEVELS)}, a Level, or a tuple of these"
        )
    return LEVELS[difficulty]
