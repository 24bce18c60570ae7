"""The task sets: generated games in disjoint splits, and the official games."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from agentrl.dice import Dice
from agentrl.environments.alfworld.game import Game
from agentrl.environments.alfworld.generate import generate
from agentrl.environments.alfworld.levels import Level, level_of
from agentrl.environments.alfworld.official import official
from agentrl.errors import ConfigError, TaskError, did_you_mean
from agentrl.tasks import SeededIds, TaskSet

Difficulty = int | Level | Sequence[int | Level]

SPLIT_SIZES: Mapping[str, int] = {"train": 10_000_000, "valid": 500, "test": 1000}
_FIRST_SEED = {"train": 0, "valid": 20_000_000, "test": 30_000_000}
_SHARE = {"train": (2, 3), "valid": (0,), "test": (1,)}
"""The remainders of the layout hash, divided by four, that belong to each split."""

_KEPT_GAMES = 256


def split_game(difficulty: Difficulty, split: str, index: int) -> Game:
    """Return a generated game of a split.

    Splits never share a game, whatever the seeds: the hash of a game's layout decides which split
    it belongs to, and a seed is tried in variations until its game belongs here.

    Raises:
        TaskError: There is no such split.
    """
    if split not in SPLIT_SIZES:
        raise TaskError(f"unknown split {split!r}; {did_you_mean(split, SPLIT_SIZES)}")
    return generated_game(tuple(levels_of(difficulty)), split, index)


# The episodes of a group play one game; other environments of the process may play it, too.
@lru_cache(_KEPT_GAMES)
def generated_game(levels: tuple[Level, ...], split: str, index: int) -> Game:
    """Return the game of a split that exists; the ones asked for last are made only once."""
    seed = _FIRST_SEED[split] + index
    level = Dice(f"level/{seed}").pick(levels)
    attempt = 0
    while True:
        game = generate(level, seed, attempt=attempt)
        if int(game.layout_hash, 16) % 4 in _SHARE[split]:
            return game
        attempt += 1


def levels_of(difficulty: Difficulty) -> list[Level]:
    """Return the levels that a difficulty names.

    Raises:
        ConfigError: There is no such level, or none at all.
    """
    several = [difficulty] if isinstance(difficulty, int | Level) else difficulty
    levels = [level_of(level) for level in several]
    if not levels:
        raise ConfigError("difficulty names no level; use a whole number such as 1, or (1, 2, 3)")
    return levels


def generated_tasks(difficulty: Difficulty) -> TaskSet:
    """Return unlimited generated games in the splits train, valid and test."""
    levels_of(difficulty)

    def load(task_id: str) -> Game:
        split, _, index = task_id.rpartition("/")
        return split_game(difficulty, split, int(index))

    return TaskSet(
        {split: SeededIds(split, size) for split, size in SPLIT_SIZES.items()},
        load,
        fingerprint=lambda task_id: load(task_id).layout_hash,
    )


def official_tasks(folder: str | Path | None = None) -> TaskSet:
    """Return the official games; a split's file is read when the split is first used.

    Args:
        folder: The folder that holds the games; by default `alfworld` in `AGENTRL_DATA`.

    Raises:
        TaskError: No folder is known.
    """
    data = official(folder)

    def load(task_id: str) -> Game:
        return data.split_of(task_id).game(task_id)

    return TaskSet(
        data.splits,
        load,
        fingerprint=lambda task_id: data.split_of(task_id).fingerprint(task_id),
    )
