"""JSON lines, plain or compressed: appended one trajectory at a time, read one at a time.

Each trajectory is written with one system call, and with `.zst` as a compressed frame of its own,
so that a killed process leaves at most one trajectory cut off, at the end. Reading skips that one
and says so; damage anywhere else is a `DataError`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import zstandard

from agentrl.errors import DataError
from agentrl.storage.atomic import append_whole
from agentrl.storage.record import MalformedError, decode, encode
from agentrl.trajectory import Trajectory

LEVEL = 3
"""Compression level: the library's default."""
CHUNK = 1 << 16
"""Bytes read at a time from compressed files."""

_log = logging.getLogger(__name__)


class Reader:
    """The trajectories of a file, one by one."""

    def __init__(self, path: str | Path) -> None:
        """Name the file; it is opened when the reader is iterated."""
        self.path = Path(path)
        self.skipped = 0
        """Trajectories cut off at the end of the file and left out, known after iterating."""

    def __iter__(self) -> Iterator[Trajectory]:
        """Yield the trajectories.

        Raises:
            DataError: The file cannot be read, or a line is damaged; names file and line.
        """
        self.skipped = 0
        try:
            with self.path.open("rb") as file:
                yield from self._trajectories(file)
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror or error}") from None

    def _trajectories(self, file: BinaryIO) -> Iterator[Trajectory]:
        number = 0
        try:
            for number, line in enumerate(_lines(file, self.path), 1):
                if not line.strip():
                    continue
                try:
                    yield decode(line)
                except DataError as problem:
                    if not isinstance(problem, MalformedError) or line.endswith(b"\n"):
                        raise DataError(f"{self.path}, line {number}: {problem}") from None
                    self._skip(number)
        except CutOffError:
            self._skip(number + 1)
        except zstandard.ZstdError as error:
            raise DataError(f"{self.path}, after line {number}: damaged: {error}") from None

    def _skip(self, number: int) -> None:
        self.skipped += 1
        _log.warning("%s, line %d is cut off; 1 trajectory skipped", self.path, number)


class Writer:
    """Appends trajectories to a file; what `write` has returned from survives kill -9."""

    def __init__(self, path: str | Path, *, append: bool = True) -> None:
        """Open a file, making its folder.

        Args:
            path: Ends in `.jsonl` or `.jsonl.zst`.
            append: Go on after what the file holds; a trajectory cut off at its end is removed.
                False: start an empty file.

        Raises:
            DataError: The file cannot be opened or gone on with.
        """
        self.path = Path(path)
        self.removed = 0
        """Trajectories cut off at the end of the file, removed when it was opened."""
        self._compress = self.path.suffix == ".zst"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if append and self.path.exists():
                self._mend()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if append else os.O_TRUNC)
            self._file: int | None = os.open(self.path, flags | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._failure(error) from None

    def write(self, trajectory: Trajectory) -> None:
        """Append a trajectory.

        Raises:
            DataError: The disk is full or gone; the file then ends where it did before.
        """
        line = encode(trajectory) + b"\n"
        self._append(zstandard.ZstdCompressor(LEVEL).compress(line) if self._compress else line)

    def sync(self) -> None:
        """Wait until everything written is on the disk and survives a power cut."""
        os.fsync(self._open())

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _open(self) -> int:
        if self._file is None:
            raise DataError(f"{self.path} is closed; open another Writer to go on")
        return self._file

    def _append(self, data: bytes) -> None:
        file = self._open()
        try:
            append_whole(file, data)
        except OSError as error:
            raise self._failure(error) from None

    def _mend(self) -> None:
        """Cut the file behind its last complete trajectory."""
        with self.path.open("r+b") as file:
            end = _frames_end(file, self.path) if self._compress else _lines_end(file)
            if end < file.seek(0, os.SEEK_END):
                file.truncate(end)
                self.removed = 1
                _log.warning("%s ended in a cut-off trajectory, which was removed", self.path)

    def _failure(self, error: OSError) -> DataError:
        return DataError(
            f"cannot write {self.path}: {error.strerror or error}; what it holds is whole"
        )


class CutOffError(Exception):
    """A compressed file ends inside a frame."""


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield lines with their line break, which only a last line can lack."""
    if path.suffix != ".zst":
        yield from file
        return
    rest = b""
    for text, _ in inflate(file):
        *whole, rest = (rest + text).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def inflate(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield decompressed text and how far the frames that are complete reach in the file."""
    frame: zstandard.ZstdDecompressionObj | None = None
    data, end = b"", 0
    while data or (data := file.read(CHUNK)):
        frame = frame or zstandard.ZstdDecompressor().decompressobj()
        text = frame.decompress(data)
        data = b""
        if frame.eof:
            data = frame.unused_data
            end = file.tell() - len(data)
            frame = None
        yield text, end
    if frame is not None:
        raise CutOffError


def _frames_end(file: BinaryIO, path: Path) -> int:
    """Return where the last complete frame ends."""
    end, open_text = 0, b""
    try:
        for text, reached in inflate(file):
            open_text = b"" if reached > end else open_text + text
            end = reached
    except CutOffError:
        if b"\n" in open_text:
            raise DataError(
                f"{path} is cut off inside a frame of several trajectories, which agentrl did "
                "not write; read it and write another file"
            ) from None
    except zstandard.ZstdError as error:
        raise DataError(f"{path} is damaged and cannot be appended to: {error}") from None
    return end


def _lines_end(file: BinaryIO) -> int:
    """Return where the last complete line ends, ending it where only its line break lacks."""
    end = file.seek(0, os.SEEK_END)
    start = _last_break(file, end)
    file.seek(start)
    tail = file.read()
    if not tail:
        return end
    try:
        decode(tail)
    except MalformedError:
        return start
    except DataError:
        pass  # whole, though not a trajectory: reading will say so
    file.write(b"\n")
    return end + 1


def _last_break(file: BinaryIO, end: int) -> int:
    """Return the position behind the last line break, 0 where there is none."""
    while end > 0:
        start = max(0, end - CHUNK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
