"""The original releases of HotpotQA, MuSiQue and 2WikiMultihopQA, read as they are published.

A release is turned once into the packed form (`records`) and kept in the cache. Its passages are
those that come with the questions, of all its splits together.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from agentrl.environments.searchqa.library import Passage
from agentrl.environments.searchqa.records import QuestionRow, find_file, read_bytes
from agentrl.errors import DataError

_T = TypeVar("_T")

Converted = tuple[QuestionRow, list[Passage]]
"""A question and the passages that come with it."""


@dataclass(frozen=True, slots=True)
class Release:
    """How one data set was published."""

    folders: tuple[str, ...]
    """Where its files may lie, below the data folder."""
    files: Mapping[str, tuple[str, ...]]
    """By split, the names a file may have."""
    read: Callable[[Path], Iterator[Converted]]

    def find(self, folder: Path) -> dict[str, Path]:
        """Return the file of each split that is here."""
        found: dict[str, Path] = {}
        for split, names in self.files.items():
            places = (find_file(folder / sub, name) for sub in self.folders for name in names)
            file = next((place for place in places if place is not None), None)
            if file is not None:
                found[split] = file
        return found


class _WikiRow(msgspec.Struct):
    """A question of HotpotQA, or of 2WikiMultihopQA, which took over the form."""

    question: str
    _id: str
    answer: str
    supporting_facts: list[tuple[str, int]]
    context: list[tuple[str, list[str]]]
    type: str = ""
    level: str = ""


class _Paragraph(msgspec.Struct):
    title: str
    paragraph_text: str
    is_supporting: bool = False


class _MusiqueRow(msgspec.Struct):
    """A question of MuSiQue."""

    id: str
    question: str
    paragraphs: list[_Paragraph]
    answer: str
    answer_aliases: list[str] = []
    answerable: bool = True


def _read_wiki(file: Path) -> Iterator[Converted]:
    for row in _decode(file, read_bytes(file), list[_WikiRow]):
        passages = [
            # HotpotQA's sentences begin with their blank, 2WikiMultihopQA's do not.
            Passage(title, " ".join(filter(None, map(str.strip, sentences))))
            for title, sentences in row.context
        ]
        yield (
            QuestionRow(
                id=row._id,
                question=row.question,
                answers=[row.answer],
                supporting=list(dict.fromkeys(title for title, _ in row.supporting_facts)),
                context=[passage.title for passage in passages],
                type=row.type,
                level=row.level,
            ),
            passages,
        )


def _read_musique(file: Path) -> Iterator[Converted]:
    for number, line in enumerate(read_bytes(file).splitlines(), start=1):
        row = _decode(f"{file}, line {number}", line, _MusiqueRow)
        if not row.answerable:
            continue
        passages = [Passage(one.title, one.paragraph_text) for one in row.paragraphs]
        supporting = [one.title for one in row.paragraphs if one.is_supporting]
        yield (
            QuestionRow(
                id=row.id,
                question=row.question,
                answers=[row.answer, *row.answer_aliases],
                supporting=list(dict.fromkeys(supporting)),
                context=list(dict.fromkeys(passage.title for passage in passages)),
                type=row.id.partition("__")[0],
            ),
            passages,
        )


RELEASES: Mapping[str, Release] = {
    "hotpotqa": Release(
        (".", "hotpotqa"),
        {
            "train": ("hotpot_train_v1.1.json",),
            "valid": ("hotpot_dev_distractor_v1.json", "hotpot_dev_fullwiki_v1.json"),
        },
        _read_wiki,
    ),
    "musique": Release(
        (".", "musique", "musique/data", "data"),
        {
            "train": ("musique_ans_v1.0_train.jsonl",),
            "valid": ("musique_ans_v1.0_dev.jsonl",),
        },
        _read_musique,
    ),
    "2wiki": Release(
        ("2wiki", "2wikimultihopqa", "2wiki/data"),
        {"train": ("train.json",), "valid": ("dev.json",)},
        _read_wiki,
    ),
}
"""The published test questions have no answers and are left out."""


def convert(
    source: str, files: Mapping[str, Path], folder: Path, *, is_packed: bool = False
) -> None:
    """Write the files of a release, one line a question or passage, into an empty folder.

    Args:
        source: The data set's name.
        files: Its files by split.
        folder: To be filled.
        is_packed: Whether to pack with xz.

    Raises:
        DataError: A file is damaged.
    """
    passages: dict[Passage, None] = {}
    for split, file in files.items():
        with _writing(folder / f"{source}_{split}.jsonl", is_packed) as out:
            for row, context in RELEASES[source].read(file):
                passages.update(dict.fromkeys(context))
                out.write(msgspec.json.encode(row) + b"\n")
    with _writing(folder / f"{source}_corpus.jsonl", is_packed) as out:
        for passage in passages:
            out.write(msgspec.json.encode(passage._asdict()) + b"\n")


def _writing(file: Path, is_packed: bool) -> IO[bytes]:
    if is_packed:
        return lzma.open(file.with_name(f"{file.name}.xz"), "wb", preset=3)
    return file.open("wb")


def _decode(where: object, content: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DataError(f"{where} is damaged: {error}; get the release's file again") from error
