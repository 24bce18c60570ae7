"""Actions to try an ALFWorld engine with: sensible, impossible, misspelled and absurd ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

from agentrl.environments.alfworld import Engine
from agentrl.environments.alfworld.planner import plan

Kind = Literal["plan", "admissible", "impossible", "misspelled", "absurd"]
KINDS: tuple[Kind, ...] = ("plan", "admissible", "impossible", "misspelled", "absurd")
_SHARES = (25, 35, 20, 12, 8)
_WEIGHTS = {"go": 1.0, "examine": 2.0, "help": 0.2, "inventory": 0.7, "look": 1.5}
"""By first word; everything else, which changes the world, weighs 6."""

_FORMS = (
    "go to {r}",
    "open {r}",
    "close {r}",
    "examine {r}",
    "examine {o}",
    "take {o} from {r}",
    "move {o} to {r}",
    "put {o} in/on {r}",
    "put {o} into {o2}",
    "clean {o} with {r}",
    "heat {o} with {r}",
    "cool {o} with {r}",
    "use {o}",
    "slice {o} with {o2}",
)

ABSURD: tuple[str, ...] = (
    "",
    " ",
    "\n\t\r\x0b",
    "x" * 100_000,
    "go to fridge 1 " * 7_000,
    "(" * 50_000 + ")" * 50_000,
    "[[[[go to [fridge] 1]]]]",
    "{o} from {r}",
    "{o.name.__class__}",
    "#look.feedback#",
    "%s%n%x",
    "(a+)+$" + "a" * 30 + "!",
    ".*" * 20_000,
    "\\1\\2\\b(?P<x>.)(?P=x)",
    "look\x00",
    "\x1b[2J\x07",
    "take 😀 1 from ☃ 2",
    "go to fridge \uff11",
    "'; drop table games; --",
    '{"action": "look"}',
    "<action>look</action>",
    "look\nlook",
    "None",
)


class ActionSource:
    """Draws the next action for a running game, each kind with its share."""

    def __init__(self, engine: Engine, seed: str) -> None:
        """Watch a game; the seed decides every draw."""
        self._engine = engine
        self._rng = random.Random(seed)

    def draw(self) -> tuple[Kind, str]:
        """Return an action and its kind."""
        kind = self._rng.choices(KINDS, _SHARES)[0]
        draws: dict[Kind, Callable[[], str]] = {
            "plan": self._planned,
            "admissible": self._admissible,
            "impossible": self._impossible,
            "misspelled": self._misspelled,
            "absurd": lambda: self._rng.choice(ABSURD),
        }
        return kind, draws[kind]()

    def _planned(self) -> str:
        """Follow a winning plan, so that deep situations are reached, too."""
        return (plan(self._engine) or [self._admissible()])[0]

    def _admissible(self) -> str:
        commands = self._engine.admissible()
        weights = [_WEIGHTS.get(command.partition(" ")[0], 6.0) for command in commands]
        return self._rng.choices(commands, weights)[0]

    def _impossible(self) -> str:
        """Return a well-formed command about things of this room; most cannot be done now."""
        game, pick = self._engine.game, self._rng.choice
        names = {"r": pick(game.receptacles), "o": pick(game.objects), "o2": pick(game.objects)}
        return pick(_FORMS).format(**names)

    def _misspelled(self) -> str:
        command = self._admissible()
        place = self._rng.randrange(len(command))
        return self._rng.choice(
            (
                command.upper(),
                command.capitalize(),
                command[:place] + command[place + 1 :],
                command[:place] + self._rng.choice("aeioux 0.") + command[place:],
                command.replace(" ", "  ", 1),
                command.replace(" 1", " 99"),
                command + ".",
                f"  {command}\n",
                f"> {command}",
                command.replace(" ", " the ", 1),
                command + " " + command,
                command.rpartition(" ")[0],
            )
        )
