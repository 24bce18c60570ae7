"""How hard a generated question is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentrl.environments.searchqa.vocabulary import COUNTRIES, FAMILIES, TOWNS
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Level:
    """One degree of difficulty; equal levels and seeds give equal questions."""

    name: str
    hops: int
    """Facts to be put together, each in a passage of its own."""
    people: int
    """How many people there are; all but those of the chain are distractors."""
    towns: int
    """How many towns there are."""
    families: int
    """Among how many family names the people share; few make for many namesakes."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: One of them makes no sense.
        """
        for what, most in (
            ("hops", 12), ("people", 200), ("towns", len(TOWNS)), ("families", len(FAMILIES))
        ):  # fmt: skip
            number = getattr(self, what)
            if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
                raise ConfigError(
                    f"a search-QA level's {what} must be a whole number from 1 to {most}, "
                    f"not {number!r}"
                )
        if self.people < 3 or self.people > 8 * self.families:
            raise ConfigError(
                f"a search-QA level needs from 3 to 8 people for each family name, not "
                f"{self.people} people in {self.families} families"
            )


LEVELS: Mapping[int, Level] = {
    1: Level("1", hops=1, people=5, towns=3, families=3),
    2: Level("2", hops=2, people=8, towns=4, families=4),
    3: Level("3", hops=3, people=12, towns=5, families=5),
    4: Level("4", hops=4, people=16, towns=6, families=6),
}
"""From one fact among eight passages (1) to four among 22 (4)."""

Difficulty = int | Level | Sequence[int | Level]

COUNTRIES_IN_A_WORLD = min(4, len(COUNTRIES))


def levels_of(difficulty: Difficulty) -> tuple[Level, ...]:
    """Return the levels that a difficulty names.

    Raises:
        ConfigError: There is no such level, or none at all.
    """
    several = [difficulty] if isinstance(difficulty, int | Level) else difficulty
    try:
        levels = tuple(_level_of(level) for level in several)
    except TypeError:
        levels = ()
    if not levels:
        raise ConfigError(
            f"difficulty must name a level, such as 1, or several, such as (1, 2), not "
            f"{difficulty!r}"
        )
    return levels


def _level_of(level: int | Level) -> Level:
    if isinstance(level, Level):
        return level
    if level not in LEVELS or isinstance(level, bool):
        raise ConfigError(
            f"unknown search-QA difficulty {level!r}; use a whole number from {min(LEVELS)} to "
            f"{max(LEVELS)} (the number of hops), a Level, or a tuple of these"
        )
    return LEVELS[level]
