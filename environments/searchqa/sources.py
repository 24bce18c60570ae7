"""The real data sets in a folder: which files make which splits, and where to search.

A set is read from packed files, `<set>_train.jsonl`, `<set>_valid.jsonl` (or `_dev`) and
`<set>_test.jsonl` beside `<set>_corpus.jsonl`, each plain or with `.xz`; or from a sample such as
`hotpotqa_100.jsonl`, which a hash of contents divides; or else from the original release.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from itertools import chain
from pathlib import Path

from agentrl.cache import build_once
from agentrl.environments.searchqa.index import Bm25Library
from agentrl.environments.searchqa.library import Passage
from agentrl.environments.searchqa.original import RELEASES, convert
from agentrl.environments.searchqa.question import content_hash
from agentrl.environments.searchqa.records import (
    QuestionRow,
    find_file,
    read_passages,
    read_questions,
)
from agentrl.errors import DataError, TaskError

SOURCES = ("hotpotqa", "musique", "2wiki")
_SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "valid": ("valid", "dev"),
    "test": ("test",),
}
_SAMPLE_SPLITS = (*["train"] * 4, "valid", *["test"] * 5)
"""The split of each remainder, divided by ten, of a hash: half of a small sample is for testing."""
_FORMAT = "1"
"""Part of the cache's key; to be changed with what `original.convert` writes."""


class Shelf:
    """One data set: its questions by split and id, and the passages to search."""

    def __init__(self, folder: Path, source: str) -> None:
        """Name the folder and the set; nothing is read yet."""
        self._folder = folder
        self._source = source

    @cached_property
    def splits(self) -> dict[str, dict[str, QuestionRow]]:
        """The questions by split and by task id, `<split>/<id>`.

        Raises:
            DataError: There are none, or a file is damaged.
        """
        place = self._place
        named = {
            split: file
            for split, names in _SPLIT_NAMES.items()
            for name in reversed(names)
            if (file := find_file(place, f"{self._source}_{name}.jsonl")) is not None
        }
        if named:
            rows = {split: list(read_questions(file)) for split, file in named.items()}
        else:
            sample = self._sample(place)
            if sample is None:
                raise DataError(self._complaint("questions"))
            rows = divide(list(read_questions(sample)))
        return {split: _by_id(split, rows[split]) for split in _SPLIT_NAMES if rows.get(split)}

    @cached_property
    def passages(self) -> list[Passage]:
        """The passages of this set, each once.

        Raises:
            DataError: There are none, or a file is damaged.
        """
        file = find_file(self._place, f"{self._source}_corpus.jsonl")
        if file is None:
            raise DataError(self._complaint("passages"))
        return list(dict.fromkeys(read_passages(file)))

    def record(self, task_id: str) -> QuestionRow:
        """Return the question of a task id.

        Raises:
            TaskError: There is none.
        """
        split = task_id.partition("/")[0]
        row = self.splits.get(split, {}).get(task_id)
        if row is None:
            raise TaskError(f"unknown task {task_id!r}; splits here: {', '.join(self.splits)}")
        return row

    def context(self, row: QuestionRow) -> list[Passage]:
        """Return the passages that came with a question, or else those that support it."""
        wanted = row.context or row.supporting
        return [passage for title in wanted for passage in self._by_title.get(title, ())]

    def library(self, *, with_others: bool) -> Bm25Library:
        """Return the passages as one library.

        Args:
            with_others: Whether to add those of the other two sets.

        Raises:
            DataError: Some are missing.
            MissingExtraError: bm25s is not installed.
        """
        names = SOURCES if with_others else (self._source,)
        return _library(self._folder, names)

    @cached_property
    def _by_title(self) -> dict[str, list[Passage]]:
        found: dict[str, list[Passage]] = {}
        for passage in self.passages:
            found.setdefault(passage.title, []).append(passage)
        return found

    @cached_property
    def _place(self) -> Path:
        """Where the packed files are: the folder itself, or what a release was turned into."""
        if find_file(self._folder, f"{self._source}_corpus.jsonl") is not None:
            return self._folder
        files = RELEASES[self._source].find(self._folder)
        if not files:
            return self._folder
        stamps = [_stamp(split, file) for split, file in files.items()]
        key = hashlib.sha256(repr((_FORMAT, stamps)).encode()).hexdigest()[:24]
        return build_once(f"searchqa-{self._source}", key, partial(convert, self._source, files))

    def _sample(self, place: Path) -> Path | None:
        pattern = re.compile(rf"{self._source}_\d+\.jsonl(?:\.xz)?")
        files = sorted(place.iterdir()) if place.is_dir() else []
        return next((file for file in files if pattern.fullmatch(file.name)), None)

    def _complaint(self, what: str) -> str:
        names = " or ".join(chain.from_iterable(RELEASES[self._source].files.values()))
        return (
            f"no {what} of {self._source} in {self._folder}: put {self._source}_train.jsonl and "
            f"{self._source}_corpus.jsonl (or the same with .xz) there, or the release's {names}; "
            "source='generated' needs no data"
        )


def divide(rows: Sequence[QuestionRow]) -> dict[str, list[QuestionRow]]:
    """Divide questions so that no two splits share a question or a supporting passage."""
    groups = _linked(rows)
    found: dict[str, list[QuestionRow]] = {}
    for group in groups:
        number = int(content_hash(sorted(row.content for row in group)), 16)
        found.setdefault(_SAMPLE_SPLITS[number % 10], []).extend(group)
    return found


def _linked(rows: Sequence[QuestionRow]) -> list[list[QuestionRow]]:
    """Return the questions in groups: two are together that share text or a supporting title."""
    owner: dict[str, list[int]] = {}
    group_of = [[index] for index in range(len(rows))]
    for index, row in enumerate(rows):
        for mark in (f"?{row.question}", *(f"#{title}" for title in row.supporting)):
            ours, theirs = group_of[index], owner.setdefault(mark, [index])
            theirs = group_of[theirs[0]]
            if ours is not theirs:
                theirs.extend(ours)
                for member in ours:
                    group_of[member] = theirs
    distinct = {id(group): group for group in group_of}
    return [[rows[index] for index in sorted(group)] for group in distinct.values()]


def _by_id(split: str, rows: Sequence[QuestionRow]) -> dict[str, QuestionRow]:
    found = {f"{split}/{row.id}": row for row in rows}
    if len(found) < len(rows):
        raise DataError(f"the questions of the split {split!r} have an id twice; mend their file")
    return found


def _stamp(split: str, file: Path) -> tuple[str, str, int, int]:
    status = file.stat()
    return split, str(file.resolve()), status.st_size, status.st_mtime_ns


def _passages(folder: Path, names: Sequence[str]) -> Iterator[Passage]:
    for name in names:
        try:
            yield from shelf_of(folder, name).passages
        except DataError as error:
            if len(names) == 1:
                raise
            raise DataError(f"{error}; or search one set alone with corpus='own'") from error


# A collector makes an environment per episode; all of them share what was read.
@lru_cache(8)
def _library(folder: Path, names: tuple[str, ...]) -> Bm25Library:
    return Bm25Library(list(dict.fromkeys(_passages(folder, names))))


@lru_cache(16)
def shelf_of(folder: Path, source: str) -> Shelf:
    """Return a data set of a folder; a process reads it once."""
    return Shelf(folder, source)
