"""The kinds of games and their difficulty parameters.

A `Recipe` is a challenge with every parameter settled: what decides, with a seed, how a game is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrl.errors import ConfigError, did_you_mean

Value = int | bool | str

MOST_ROOMS = 100
"""More do not fit into a `.z8` file."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A difficulty parameter: a default and what is allowed."""

    default: Value
    low: int = 0
    high: int = 0
    choices: tuple[Value, ...] = ()

    def check(self, challenge: str, name: str, value: object) -> Value:
        """Return the value if it is allowed.

        Raises:
            ConfigError: It is not.
        """
        if isinstance(self.default, bool):
            if isinstance(value, bool):
                return value
            wanted = "true or false"
        elif self.choices:
            if not isinstance(value, bool) and value in self.choices:
                return value
            wanted = "one of " + ", ".join(map(str, self.choices))
            if isinstance(value, str) and isinstance(self.default, str):
                wanted += f"; {did_you_mean(value, map(str, self.choices))}"
        else:
            is_number = isinstance(value, int) and not isinstance(value, bool)
            if is_number and self.low <= value <= self.high:  # type: ignore[operator]
                return value  # type: ignore[return-value]
            wanted = f"a whole number from {self.low} to {self.high}"
        raise ConfigError(f"{name} of TextWorld's {challenge} must be {wanted}, not {value!r}")


_GOAL = Parameter("detailed", choices=("detailed", "brief", "none"))
_FOODS = Parameter("all", choices=("all", "split"))

CHALLENGES: Mapping[str, Mapping[str, Parameter]] = {
    "treasure_hunter": {"level": Parameter(5, 1, 30), "goal": _GOAL},
    "coin_collector": {"level": Parameter(5, 1, 300), "goal": _GOAL},
    "cooking": {
        "recipe": Parameter(1, 1, 5),
        "take": Parameter(1, 0, 5),
        "go": Parameter(1, choices=(1, 6, 9, 12)),
        "open": Parameter(False),
        "cook": Parameter(False),
        "cut": Parameter(False),
        "drop": Parameter(False),
        "recipe_seed": Parameter(0, 0, 2**31 - 1),
        "foods": _FOODS,
    },
    "simple": {
        "rewards": Parameter("dense", choices=("dense", "balanced", "sparse")),
        "goal": _GOAL,
        "foods": _FOODS,
    },
    "custom": {
        "rooms": Parameter(5, 1, 50),
        "objects": Parameter(10, 1, 200),
        "quest_length": Parameter(5, 1, 20),
        "quest_breadth": Parameter(1, 1, 5),
        "parallel_quests": Parameter(1, 1, 5),
        "goal": _GOAL,
    },
}
"""The parameters of each challenge; what they mean is told in the README."""

PARAMETERS = frozenset(name for parameters in CHALLENGES.values() for name in parameters)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A challenge and all its parameters."""

    challenge: str
    parameters: tuple[tuple[str, Value], ...]
    """By name, sorted."""

    def __getitem__(self, name: str) -> Any:
        """Return the value of a parameter."""
        return dict(self.parameters)[name]

    def to_json(self) -> str:
        """Return the recipe as one line, equal whenever the recipes are equal."""
        return json.dumps({"challenge": self.challenge, **dict(self.parameters)}, sort_keys=True)


def recipe_of(challenge: str, **parameters: object) -> Recipe:
    """Return a challenge's recipe; parameters that are not given have their defaults.

    Raises:
        ConfigError: There is no such challenge or parameter, or a value is not allowed.
    """
    known = CHALLENGES.get(challenge) if isinstance(challenge, str) else None
    if known is None:
        hint = did_you_mean(str(challenge), CHALLENGES)
        raise ConfigError(f"unknown TextWorld challenge {challenge!r}; {hint}")
    for name in parameters:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"TextWorld's {challenge} has no parameter {name!r}; {hint}")
    values = {
        name: parameter.check(challenge, name, parameters.get(name, parameter.default))
        for name, parameter in known.items()
    }
    _check_together(challenge, values)
    return Recipe(challenge, tuple(sorted(values.items())))


def _check_together(challenge: str, values: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for values that are allowed alone but not together."""
    if challenge == "coin_collector":
        length, rooms = _coin_rooms(values["level"])
        if rooms > MOST_ROOMS:
            raise ConfigError(
                f"level {values['level']} of coin_collector has {rooms} rooms and TextWorld's "
                f"games hold {MOST_ROOMS}; use a level whose last two digits are lower than "
                f"{length:02d}: up to 100, 101 to 150 or 201 to 233"
            )
    if challenge == "cooking":
        if values["take"] > values["recipe"]:
            raise ConfigError(
                f"cooking has take={values['take']} ingredients to find but only "
                f"recipe={values['recipe']} in all; lower take or raise recipe"
            )
        if values["recipe_seed"] and not values["take"]:
            raise ConfigError("recipe_seed of cooking needs take to be at least 1")


def _coin_rooms(level: int) -> tuple[int, int]:
    """Return the length of the chain and the number of rooms at a level of coin collector."""
    length = (level - 1) % 100 + 1
    return length, ((level - 1) // 100 + 1) * length
