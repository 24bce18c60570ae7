"""Writes that happen whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agentrl.errors import DataError


def append_whole(file: int, data: bytes) -> None:
    """Append to an open file; where that fails, the file ends where it did before.

    Args:
        file: Descriptor of a file opened with O_APPEND.
        data: Written with one system call wherever the system takes it in one.

    Raises:
        OSError: The disk is full or gone.
    """
    end = os.fstat(file).st_size
    try:
        written = 0
        while written < len(data):
            written += os.write(file, data[written:])
    except OSError:
        os.ftruncate(file, end)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file name to write to; it becomes `path` when the block ends without an error.

    Raises:
        DataError: The file cannot be written.
    """
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        # Where even this fails, the error on its way says why.
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
