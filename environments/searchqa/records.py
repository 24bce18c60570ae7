"""Reading questions and passages: files of one JSON object a line, plain or packed with xz."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from agentrl.environments.searchqa.library import Passage
from agentrl.environments.searchqa.question import content_hash
from agentrl.errors import DataError

_Row = TypeVar("_Row", bound=msgspec.Struct)


class QuestionRow(msgspec.Struct, frozen=True):
    """A line of a file of questions."""

    id: str
    question: str
    answers: list[str]
    supporting: list[str]
    """Titles of the passages that hold the answer."""
    context: list[str] = []
    """Titles of the passages that came with the question."""
    type: str = ""
    level: str = ""

    @property
    def content(self) -> str:
        """Return a hash of all that decides what is asked (16 hex digits)."""
        return content_hash(self.question, self.answers, sorted(self.supporting))


class PassageRow(msgspec.Struct, frozen=True):
    """A line of a corpus."""

    title: str
    text: str


def read_questions(file: Path) -> Iterator[QuestionRow]:
    """Yield the questions of a file.

    Raises:
        DataError: The file or a line is damaged; names the line.
    """
    for number, row in enumerate(_rows(file, QuestionRow), start=1):
        if not row.answers or not row.question.strip():
            raise DataError(
                f"{file}, line {number}: question {row.id!r} has no text or no answers; an "
                "unanswered question cannot be scored; take it out"
            )
        yield row


def read_passages(file: Path) -> Iterator[Passage]:
    """Yield the passages of a corpus.

    Raises:
        DataError: The file or a line is damaged; names the line.
    """
    for row in _rows(file, PassageRow):
        yield Passage(row.title, row.text)


def find_file(folder: Path, name: str) -> Path | None:
    """Return a file of a folder, plain or with `.xz`, or None where there is none."""
    candidates = (folder / name, folder / f"{name}.xz")
    return next((file for file in candidates if file.is_file()), None)


def read_bytes(file: Path) -> bytes:
    """Return what a file holds, unpacked.

    Raises:
        DataError: It cannot be read or its packing is damaged.
    """
    try:
        with lzma.open(file) if file.suffix == ".xz" else file.open("rb") as content:
            return content.read()
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{file} is damaged: {error}; copy the file again") from error


def _rows(file: Path, kind: type[_Row]) -> Iterator[_Row]:
    decode = msgspec.json.Decoder(kind).decode
    for number, line in enumerate(read_bytes(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield decode(line)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(
                f"{file}, line {number} is damaged: {error}; copy the file again"
            ) from error
