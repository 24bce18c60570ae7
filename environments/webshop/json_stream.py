"""The elements of a huge JSON array, one at a time."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentrl.environments.webshop.files import opened
from agentrl.errors import DataError

_BLOCK = 1 << 20
_LONGEST_RECORD = 1 << 25
"""Characters after which a record that does not end is called damaged."""
_BETWEEN = " \t\r\n"


def read_array(file: Path) -> Iterator[Any]:
    """Yield the elements of the JSON array in a file, plain or packed with xz.

    Memory holds one block of the file and one element, whatever the file's size.

    Raises:
        DataError: The file cannot be read or is damaged; the message names the record.
    """
    with opened(file) as data:
        text = _Text(file, iter(lambda: data.read(_BLOCK), b""))
        yield from text.elements()


class _Text:
    """A window on the file's text that moves on as elements are taken from it."""

    def __init__(self, file: Path, blocks: Iterator[bytes]) -> None:
        self._file = file
        self._blocks = blocks
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._ended = False
        self._count = 0

    def elements(self) -> Iterator[Any]:
        if self._next_mark() != "[":
            raise self._damaged("the file does not begin with a list of records")
        self._at += 1
        if self._next_mark() == "]":
            return
        while True:
            yield self._element()
            self._count += 1
            mark = self._next_mark()
            self._at += 1
            if mark == "]":
                return
            if mark != ",":
                raise self._damaged("the list breaks off" if not mark else f"{mark!r} is no comma")
            self._next_mark()

    def _element(self) -> Any:
        while True:
            try:
                value, self._at = self._scan(self._text, self._at)
                return value
            except (json.JSONDecodeError, RecursionError) as error:
                too_long = len(self._text) - self._at > _LONGEST_RECORD
                if too_long or isinstance(error, RecursionError) or not self._more():
                    what = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
                    raise self._damaged(what) from error

    def _next_mark(self) -> str:
        """Move on to the next character that is not white space, and return it; '' at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _BETWEEN:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read on: as much again as is waiting, so that a long record is not scanned too often."""
        if self._ended:
            return False
        parts = [self._text[self._at :]]
        wanted = max(1, len(parts[0]))
        try:
            while wanted > 0 and not self._ended:
                block = next(self._blocks, b"")
                self._ended = not block
                parts.append(self._decode(block, final=self._ended))
                wanted -= len(block)
        except UnicodeDecodeError as error:
            raise self._damaged(f"not UTF-8 ({error.reason})") from error
        self._text, self._at = "".join(parts), 0
        return True

    def _damaged(self, what: str) -> DataError:
        record = self._count + 1
        return DataError(f"{self._file}, record {record} is damaged: {what}; copy the file again")
