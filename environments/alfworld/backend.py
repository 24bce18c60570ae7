"""The backend `textworld`: the original engine in the place of the native one, call for call."""

from __future__ import annotations

import hashlib
import weakref
from pathlib import Path

from agentrl.environments.alfworld.export import to_game_file
from agentrl.environments.alfworld.game import Game
from agentrl.environments.alfworld.official import data_folder, official, official_rules
from agentrl.environments.alfworld.original import (
    GameFile,
    Original,
    borrow,
    give_back,
    stock_rules,
)
from agentrl.errors import MissingExtraError, TaskError
from agentrl.tasks import Task


class OriginalPlayer:
    """Plays games of a task set on the original engine, one at a time."""

    def __init__(self, source: str, data: str | Path | None) -> None:
        """Say where the games' files come from; the engine is lent at the first game.

        Args:
            source: `official` or `generated`.
            data: The folder with official games, or None for the one in AGENTRL_DATA.
        """
        self._source = source
        self._data = data
        self._original: Original | None = None
        self._return: weakref.finalize[[Original], OriginalPlayer] | None = None
        self._file: tuple[str, GameFile] | None = None
        self._introduction = ""

    def start(self, task: Task) -> None:
        """Start a game.

        Raises:
            MissingExtraError: The extra `alfworld` is not installed.
            TaskError: The rules that go with the game are missing.
        """
        if self._original is None:
            self._original = borrow()
            self._return = weakref.finalize(self, give_back, self._original)
        if self._file is None or self._file[0] != task.id:
            self._file = task.id, self._game_file(task)
        self._introduction = self._original.reset(self._file[1])

    def close(self) -> None:
        """Hand the engine back for others to use."""
        self._original = self._file = None
        if self._return is not None:
            self._return()

    @property
    def _engine(self) -> Original:
        assert self._original is not None, "call reset first"
        return self._original

    def introduction(self) -> str:
        """Return the text that begins an episode."""
        return self._introduction

    def step(self, command: str) -> str:
        """Carry out a command and return the feedback."""
        return self._engine.step(command)

    def understand(self, command: str) -> bool | None:
        """Return True for a command that means something now, and None for any other."""
        return command.strip() in self._engine.admissible or None

    def admissible(self) -> list[str]:
        """Return all commands that mean something now, sorted."""
        return self._engine.admissible

    @property
    def won(self) -> bool:
        """Return whether the goal is fulfilled."""
        return self._engine.won

    def state_key(self) -> str:
        """Return text that is equal exactly when the game and the situation are equal."""
        assert self._file is not None, "call reset first"
        situation = "|".join((self._file[0], *self._engine.facts))
        return hashlib.blake2b(situation.encode(), digest_size=12).hexdigest()

    def _game_file(self, task: Task) -> GameFile:
        if self._source == "official":
            return official(self._data).split_of(task.id).game_file(task.id)
        game: Game = task.data
        return to_game_file(game, *self._rules())

    def _rules(self) -> tuple[str, str]:
        """Return the official rules where they are at hand, and else the package's own.

        The latter answer `help` with an empty line in front.
        """
        try:
            return official_rules(data_folder(self._data))
        except TaskError:
            return stock_rules()


def require_original() -> None:
    """Raise `MissingExtraError` where the original engine is not installed."""
    from importlib.util import find_spec

    for package in ("textworld", "alfworld", "fast_downward"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "alfworld", "the ALFWorld backend 'textworld'")
