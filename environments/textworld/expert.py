"""Two oracles: TextWorld's planner, and the walkthrough of the game's maker.

The planner knows the whole game and finds a way from wherever the agent is, by TextWorld's tree of
the actions that each quest still needs. The walkthrough also does what only informs, such as
reading the cookbook. Each falls back on the other: there is no plan where cooking limits what can
be carried (`drop`), and no walkthrough once it has been left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agentrl.environments.textworld.engine import Engine

ExpertName = Literal["planner", "walkthrough"]


class Expert:
    """Tells what to do next."""

    def __init__(self, name: ExpertName, engine: Engine) -> None:
        """Start beside a game that has just been started."""
        self._name = name
        self._engine = engine
        self._rest: Sequence[str] | None = tuple(engine.walkthrough)

    def observe(self, command: str, acted: bool) -> None:
        """Learn of a command of the agent.

        Args:
            command: What the agent said.
            acted: Whether it did anything.
        """
        if self._rest and command.strip() == self._rest[0]:
            self._rest = self._rest[1:]
        elif acted:
            self._rest = None

    def act(self) -> str | None:
        """Return a command, or None where no way is known."""
        walk = self._rest or ()
        if self._name == "walkthrough":
            commands = walk or self._engine.plan()
        else:
            commands = self._engine.plan() or walk
        return commands[0] if commands else None

    def remember(self) -> Sequence[str] | None:
        """Return what `recall` needs."""
        return self._rest

    def recall(self, rest: Sequence[str] | None) -> None:
        """Go back to what was known then."""
        self._rest = rest
