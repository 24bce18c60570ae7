"""The original engine, TextWorld's, behind the few calls that are needed of it (extra `alfworld`).

It is the yardstick for the native engine and the backend `textworld`: a thousand times slower, one
live game per engine, and not safe to use from several threads. Nothing of it is patched. Every
engine maps a library of its own, which is never unmapped, so engines are lent and used again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentrl.errors import MissingExtraError

GameFile = Mapping[str, object]
"""The content of a `game.tw-pddl`."""

_LOCK = threading.RLock()
"""Held during every call: loading swaps `sys.argv`, `sys.stdout` and the translator's globals."""


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
    return MissingExtraError(package, "alfworld", "the original ALFWorld engine")


class Original:
    """TextWorld's PDDL engine with ALFWorld's names for things, playing one game at a time."""

    def __init__(self) -> None:
        """Load the engine.

        Raises:
            MissingExtraError: The packages are not installed.
        """
        try:
            with _alone():
                import textworld
                from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
                from textworld.envs import PddlEnv

                infos = textworld.EnvInfos(won=True, admissible_commands=True)
                self._env: Any = AlfredDemangler(PddlEnv(infos))
        except ImportError as error:
            raise _missing(error) from error
        self._game: GameFile | None = None
        self._state: Any = None

    def reset(self, game: GameFile) -> str:
        """Start a game; return the introduction. The same object again is not loaded again."""
        with _alone():
            if game is not self._game:
                self._game = None
                self._env.load(game)
                self._game = game
            self._state = self._env.reset()
        return str(self._state["feedback"])

    def step(self, command: str) -> str:
        """Carry out a command and return the feedback."""
        with _alone():
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

    @property
    def score(self) -> int:
        """Return the engine's score; before the first step it has none, which counts as 0."""
        return int(self._state.get("score") or 0)

    @property
    def done(self) -> bool:
        """Return whether the engine says that the episode is over."""
        return bool(self._state.get("done"))

    @property
    def facts(self) -> list[str]:
        """Return what is true now, sorted; what was only looked at or is only denied is left out.

        The engine writes down that something was `checked`, and that an object is not in a
        receptacle once it was taken from it: both tell of the way here, not of the situation.
        """
        return sorted(
            f"{fact.name} {' '.join(argument.name for argument in fact.arguments)}"
            for fact in self._state["_facts"]
            if fact.name != "checked" and not fact.name.startswith("not_")
        )


_idle: list[Original] = []


def borrow() -> Original:
    """Return an engine that nobody uses; a process has as many as were ever lent at a time."""
    with _LOCK:
        return _idle.pop() if _idle else Original()


def give_back(engine: Original) -> None:
    """Let others use an engine."""
    with _LOCK:
        _idle.append(engine)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other threads out, and bring back the `sys.argv` that the translator overwrites."""
    with _LOCK:
        arguments = sys.argv
        try:
            yield
        finally:
            sys.argv = arguments
