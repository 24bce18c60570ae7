"""The part of a download that is here: `NAME.part`, and a note of where it came from."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentrl.errors import DataError


class Part:
    """A file that grows until it is whole."""

    def __init__(self, folder: Path, name: str) -> None:
        """Name the file to become; nothing is read or written yet."""
        self.folder = folder
        self.path = folder / f"{name}.part"
        self._note = folder / f"{name}.part.json"
        self._whole = folder / name

    @property
    def size(self) -> int:
        """Return how many bytes are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def resume_headers(self, url: str, is_pinned: bool) -> dict[str, str]:
        """Return the headers that ask for the rest; none if all has to come again.

        Args:
            url: The address that will be asked.
            is_pinned: Whether a hash will tell if pieces of different files were joined.
        """
        known = self._read_note()
        validator = known.get("validator") if known.get("url") == url else None
        if not self.size or not (validator or is_pinned):
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        return headers | {"If-Range": validator} if validator else headers

    def note(self, url: str, headers: Mapping[str, str]) -> None:
        """Write down where the file comes from, and what tells whether it is still the same."""
        tag = headers.get("ETag", "")
        # A weak tag names content that is alike, not the same bytes.
        validator = tag if tag.startswith('"') else headers.get("Last-Modified")
        with _told(self._note):
            self._note.write_text(json.dumps({"url": url, "validator": validator}))

    @contextmanager
    def open(self, start: int) -> Iterator[Callable[[bytes], None]]:
        """Open the file for appending at `start`, its size, or for writing anew at 0."""
        with _told(self.path), self.path.open("ab" if start else "wb", buffering=0) as file:

            def write(chunk: bytes) -> None:
                rest = memoryview(chunk)
                while rest:
                    with _told(self.path):
                        rest = rest[file.write(rest) :]

            yield write

    def discard(self) -> None:
        """Forget what is here."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> Path:
        """Give the whole file its name, and return it."""
        with _told(self._whole):
            self.path.replace(self._whole)
        self._note.unlink(missing_ok=True)
        return self._whole

    def _read_note(self) -> dict[str, str]:
        try:
            read = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Turn an error of the disk into one that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "free some space" if full else "choose another folder with --to"
        raise DataError(
            f"cannot write {file} ({error.strerror or error}); what has come is kept; {mend} and "
            "give the command again"
        ) from error
