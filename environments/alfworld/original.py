"""The original engine behind the few calls that a comparison needs (extra `alfworld`).

It is the yardstick for the native engine and nothing else: a thousand times slower, and not safe to
use from several threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentrl.errors import MissingExtraError


def stock_rules() -> tuple[str, str]:
    """Return the domain and the grammar of the installed package, for `export.to_game_file`.

    They differ from the official games' own in details; for exact comparisons use the games' own.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        from alfworld.info import ALFRED_PDDL_PATH, ALFRED_TWL2_PATH
    except ImportError as error:
        raise _missing(error) from error
    domain = Path(ALFRED_PDDL_PATH).read_text(encoding="utf-8")
    grammar = Path(ALFRED_TWL2_PATH).read_text(encoding="utf-8")
    return domain, grammar.replace("Your task is to: UNKNOWN GOAL.", "@@TASK@@")


def _missing(error: ImportError) -> MissingExtraError:
    package = error.name or "textworld"
    return MissingExtraError(package, "alfworld", "comparing with the original ALFWorld")


class Original:
    """TextWorld's PDDL engine with ALFWorld's names for things, playing one game at a time."""

    def __init__(self) -> None:
        """Load the engine.

        Raises:
            MissingExtraError: The packages are not installed.
        """
        try:
            import textworld
            from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
            from textworld.envs import PddlEnv

            infos = textworld.EnvInfos(won=True, admissible_commands=True)
            self._env: Any = AlfredDemangler(PddlEnv(infos))
        except ImportError as error:
            raise _missing(error) from error
        self._state: Any = None

    def reset(self, game_file: dict[str, object]) -> str:
        """Start a game, given as the content of its `game.tw-pddl`; return the introduction."""
        self._env.load(game_file)
        self._state = self._env.reset()
        return str(self._state["feedback"])

    def step(self, command: str) -> str:
        """Carry out a command and return the feedback."""
        self._state, _, _ = self._env.step(command)
        return str(self._state["feedback"])

    @property
    def admissible(self) -> list[str]:
        """Return the admissible commands in the engine's order."""
        return list(self._state["admissible_commands"])

    @property
    def won(self) -> bool:
        """Return whether the goal is fulfilled."""
        return bool(self._state["won"])
