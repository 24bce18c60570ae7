"""The task sets: generated questions in disjoint splits, and the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from agentrl.dice import Dice
from agentrl.environments.searchqa.generate import generate
from agentrl.environments.searchqa.index import Bm25Library, digest_of
from agentrl.environments.searchqa.levels import Difficulty, Level, levels_of
from agentrl.environments.searchqa.library import Library, SmallLibrary
from agentrl.environments.searchqa.question import Question, content_hash
from agentrl.environments.searchqa.sources import Shelf, shelf_of
from agentrl.errors import TaskError, did_you_mean
from agentrl.tasks import SeededIds, TaskSet

Corpus = Literal["own", "all", "question"]

SPLIT_SIZES: Mapping[str, int] = {"train": 10_000_000, "valid": 500, "test": 1000}
_FIRST_SEED = {"train": 0, "valid": 20_000_000, "test": 30_000_000}
_SHARE = {"train": (2, 3), "valid": (0,), "test": (1,)}
"""The remainders of the content hash, divided by four, that belong to each split."""

_KEPT_QUESTIONS = 256


def split_question(difficulty: Difficulty, split: str, index: int) -> Question:
    """Return a generated question of a split.

    Splits never share a question: the hash of the world's facts and of what is asked decides which
    split it belongs to, and a seed is tried in variations until its question belongs here.

    Raises:
        TaskError: There is no such split.
        ConfigError: There is no such level.
    """
    if split not in SPLIT_SIZES:
        raise TaskError(f"unknown split {split!r}; {did_you_mean(split, SPLIT_SIZES)}")
    return _generated_question(levels_of(difficulty), split, index)


# The episodes of a group ask one question; other environments of the process may ask it, too.
@lru_cache(_KEPT_QUESTIONS)
def _generated_question(levels: tuple[Level, ...], split: str, index: int) -> Question:
    seed = _FIRST_SEED[split] + index
    level = Dice(f"level/{seed}").pick(levels)
    attempt = 0
    while True:
        question = generate(level, seed, attempt=attempt)
        if int(question.content, 16) % 4 in _SHARE[split]:
            return question
        attempt += 1


def generated_tasks(difficulty: Difficulty) -> TaskSet:
    """Return unlimited generated questions in the splits train, valid and test.

    Raises:
        ConfigError: There is no such level.
    """
    levels_of(difficulty)

    def load(task_id: str) -> Question:
        split, _, index = task_id.rpartition("/")
        return split_question(difficulty, split, int(index))

    return TaskSet(
        {split: SeededIds(split, size) for split, size in SPLIT_SIZES.items()},
        load,
        fingerprint=lambda task_id: load(task_id).content,
    )


def real_tasks(source: str, corpus: Corpus, folder: Path) -> TaskSet:
    """Return the questions of a data set, in the splits its files make.

    Args:
        source: `hotpotqa`, `musique` or `2wiki`.
        corpus: Where to search: the set's `own` passages, `all` of the three sets, or those that
            came with the `question`.
        folder: Holds the files.

    Raises:
        DataError: The files are missing or damaged.
        MissingExtraError: bm25s is needed and not installed.
    """
    shelf = shelf_of(folder, source)
    library = None if corpus == "question" else shelf.library(with_others=corpus == "all")

    def load(task_id: str) -> Question:
        return _real_question(shelf, library, task_id)

    return TaskSet(
        {split: list(records) for split, records in shelf.splits.items()},
        load,
        fingerprint=lambda task_id: _fingerprint(shelf, library, task_id),
    )


def _real_question(shelf: Shelf, library: Library | None, task_id: str) -> Question:
    record = shelf.record(task_id)
    return Question(
        text=record.question,
        answers=tuple(record.answers),
        supporting=tuple(dict.fromkeys(record.supporting)),
        library=library or SmallLibrary(shelf.context(record)),
        content=record.content,
    )


def _fingerprint(shelf: Shelf, library: Bm25Library | None, task_id: str) -> str:
    """Return a hash of a question and of where it is searched: figures on two corpora differ."""
    record = shelf.record(task_id)
    place = digest_of(shelf.context(record)) if library is None else library.digest
    return content_hash(record.content, place)
