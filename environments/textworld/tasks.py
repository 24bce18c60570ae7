"""The task set: generated games in splits that share none, compiled once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from agentrl.cache import CACHE_VARIABLE, build_once, cache_folder
from agentrl.environments.textworld.builder import (
    Builder,
    require_textworld,
    shared_builder,
)
from agentrl.environments.textworld.challenges import Recipe, recipe_of
from agentrl.errors import ConfigError, DataError, TaskError, did_you_mean
from agentrl.tasks import SeededIds, TaskSet

SPLIT_SIZES: Mapping[str, int] = {"train": 10_000_000, "valid": 500, "test": 1000}

_CACHE = "textworld"
_FORMAT = 1
"""Raised whenever a seed would give another game than before."""


@dataclass(frozen=True, slots=True)
class CompiledGame:
    """A game on disk."""

    folder: Path
    """Holds `game.z8` and `game.json`."""
    content: str
    """Hash of the game's map, things and quests by name (16 hex digits)."""


class Library:
    """The games of a recipe: looked up in the cache, made where they are not there."""

    def __init__(self, recipe: Recipe, builder: Builder | None = None) -> None:
        """Name the recipe.

        Args:
            recipe: The challenge and its parameters.
            builder: Makes what is missing; by default the one that this process shares.

        Raises:
            MissingExtraError: TextWorld is not installed.
        """
        self.recipe = recipe
        self._version = require_textworld()
        self._builder = builder or shared_builder()
        self._contents: dict[str, str] = {}

    def load(self, task_id: str) -> CompiledGame:
        """Return a task's game; one that nobody has asked for yet is compiled now.

        Raises:
            TaskError: It cannot be made, or the cache holds a damaged copy.
            DataError: The cache folder cannot be written.
        """
        key = self.key(task_id)
        entry = cache_folder() / _CACHE / key
        if not entry.is_dir():
            with _lock(key):
                entry = build_once(_CACHE, key, lambda folder: self._make(task_id, folder))
        game = CompiledGame(entry, _content(entry))
        self._contents[task_id] = game.content
        return game

    def has(self, task_id: str) -> bool:
        """Return whether a task's game has been compiled before."""
        return (cache_folder() / _CACHE / self.key(task_id)).is_dir()

    def fingerprint(self, task_id: str) -> str:
        """Return a game's content hash; nothing is compiled for it."""
        if task_id not in self._contents:
            if self.has(task_id):
                self.load(task_id)
            else:
                split, index = _place(task_id)
                reply = self._builder.build(self.recipe, split, index, None)
                self._contents[task_id] = reply["content"]
        return self._contents[task_id]

    def key(self, task_id: str) -> str:
        """Return the name of a task's entry in the cache."""
        parts = (self.recipe.to_json(), task_id, self._version, str(_FORMAT))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    def _make(self, task_id: str, folder: Path) -> None:
        split, index = _place(task_id)
        reply = self._builder.build(self.recipe, split, index, folder)
        about = {"task": task_id, "textworld": self._version, **reply}
        about["recipe"] = json.loads(self.recipe.to_json())
        (folder / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def task_set(library: Library) -> TaskSet:
    """Return the tasks of a library in the splits train, valid and test."""
    return TaskSet(
        {split: SeededIds(split, size) for split, size in SPLIT_SIZES.items()},
        library.load,
        fingerprint=library.fingerprint,
    )


def prepare(
    challenge: str = "treasure_hunter",
    *,
    split: str = "train",
    count: int = 100,
    start: int = 0,
    workers: int = 2,
    on_game: Callable[[int], None] | None = None,
    **difficulty: object,
) -> int:
    """Compile games ahead, several at a time, and return how many were not there yet.

    Args:
        challenge: The kind of games.
        split: The split they belong to.
        count: How many, from the split's task number `start` on.
        start: The first task's number.
        workers: Processes that make games.
        on_game: Called after each game with how many are there now.
        difficulty: Parameters of the challenge.

    Raises:
        ConfigError: An option makes no sense.
        TaskError: There is no such split, or a game cannot be made.
    """
    if workers < 1 or count < 0 or start < 0:
        raise ConfigError("prepare needs workers of at least 1, and count and start of at least 0")
    recipe = recipe_of(challenge, **difficulty)
    if split not in SPLIT_SIZES:
        raise TaskError(f"unknown split {split!r}; {did_you_mean(split, SPLIT_SIZES)}")
    last = min(start + count, SPLIT_SIZES[split])
    task_ids = [f"{split}/{index}" for index in range(start, last)]
    library = Library(recipe)
    missing = [task_id for task_id in task_ids if not library.has(task_id)]
    ready = len(task_ids) - len(missing)
    for number, _ in enumerate(_compiled(recipe, missing, workers), start=ready + 1):
        if on_game is not None:
            on_game(number)
    return len(missing)


def _compiled(recipe: Recipe, task_ids: list[str], workers: int) -> Iterator[CompiledGame]:
    """Yield games in the order of their tasks; each thread waits for a builder of its own."""
    idle: SimpleQueue[Builder] = SimpleQueue()
    builders = [Builder() for _ in range(min(workers, len(task_ids)))]
    for builder in builders:
        idle.put(builder)

    def load(task_id: str) -> CompiledGame:
        builder = idle.get()
        try:
            return Library(recipe, builder).load(task_id)
        finally:
            idle.put(builder)

    with ThreadPoolExecutor(max(1, len(builders))) as threads:
        try:
            yield from threads.map(load, task_ids)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for builder in builders:
                builder.close()


def _place(task_id: str) -> tuple[str, int]:
    split, _, index = task_id.rpartition("/")
    return split, int(index)


def _content(entry: Path) -> str:
    """Return the content hash that an entry of the cache notes.

    Raises:
        TaskError: The entry is damaged.
    """
    try:
        about = json.loads((entry / "about.json").read_text(encoding="utf-8"))
        if (entry / "game.z8").stat().st_size and (entry / "game.json").stat().st_size:
            return str(about["content"])
        problem = "an empty file"
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise TaskError(f"the compiled game in {entry} is damaged ({problem}); remove that folder")


@contextmanager
def _lock(key: str) -> Iterator[None]:
    """Let one process at a time make a game: a group's episodes all ask for the same."""
    folder = cache_folder() / _CACHE
    path = folder / f".{key}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        raise DataError(
            f"cannot write the cache folder {folder} ({error.strerror}); "
            f"set {CACHE_VARIABLE} to a folder that can be written"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
