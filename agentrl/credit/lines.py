"""The lines of a text file, plain or compressed with Zstandard: its first bytes tell which."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import zstandard

from agentrl.errors import DataError
from agentrl.storage.jsonl import CutOffError, inflate

LONGEST = 1 << 28
"""No line of records is longer, in bytes; a file that has one is something else."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number, from 1, and text of each line that is not blank.

    Raises:
        DataError: The file cannot be read, is cut off or damaged, or holds no lines of text.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(_lines(file, path), 1):
                if len(line) > LONGEST:
                    raise DataError(
                        f"{path}, line {number} is longer than {LONGEST >> 20} MiB: this is no "
                        "file of one record a line"
                    )
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text := text.strip():
                    yield number, text
    except CutOffError:
        raise DataError(
            f"{path} is cut off after line {number}: the compressed data end too early; write it "
            "again, for credit of half a group would be wrong"
        ) from None
    except zstandard.ZstdError as error:
        raise DataError(f"{path}, after line {number}: damaged: {error}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def starts_with(path: Path, magic: bytes) -> bool:
    """Return whether a file begins with some bytes.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def _lines(file: BufferedReader, path: Path) -> Iterator[bytes]:
    head = file.peek(8)  # unlike reading and going back, this works on pipes
    if not head.startswith(_ZSTD):
        for magic, program in _PACKED.items():
            if head.startswith(magic):
                raise DataError(f"{path} is compressed with {program}; unpack it, or use zstd")
        while line := file.readline(LONGEST + 1):
            yield line
        return
    rest: list[bytes] = []
    size = 0
    for text, _ in inflate(file):
        first, *others = text.split(b"\n")
        rest.append(first)
        size += len(first)
        for other in others:
            yield b"".join(rest)
            rest, size = [other], len(other)
        if size > LONGEST:
            break
    yield b"".join(rest)
