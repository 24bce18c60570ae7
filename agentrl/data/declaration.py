"""What an environment declares about the data it reads.

# pyproject.toml
[project.entry-points."agentrl.data"]
vault = "my_package.vault:DATA"

# my_package/vault.py
DATA = DataSource(
    name="vault", environment="vault", folder="vault", ...,
    downloads=(Download("codes.csv", ("https://example.org/codes.csv",), sha256="…"),),
    pack=lambda fetched, target, progress: fetched["codes.csv"].place(target / "codes.csv"),
)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from agentrl.data.progress import Progress


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a source, as environments read it."""

    name: str
    """Its name in the source's folder; `a.json` may also lie there as `a.json.xz`."""
    purpose: str
    """What it is for."""
    held_out: bool = False
    """Whether the trainer refuses to learn from it."""
    optional: bool = False
    """Whether the source is complete without it: `get` does not bring it."""
    stand_ins: tuple[str, ...] = ()
    """Names under which the environment takes the same content."""


@dataclass(frozen=True, slots=True)
class Download:
    """One file to be downloaded."""

    name: str
    """Its file name, under which a mirror or a folder of downloads has it too."""
    urls: tuple[str, ...]
    """Where it is to be had: the publisher first, then mirrors; each is tried in turn."""
    bytes: int | None = None
    """Its exact size, where known."""
    sha256: str | None = None
    """The hash of its content, where known. Mirrors should have one to be held to."""
    unpacked: str | None = None
    """The folder that an archive makes when unpacked, which `get --from` takes in its place."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A download that is here."""

    path: Path
    """The file, or the folder into which the user has unpacked it."""
    is_ours: bool
    """Whether it was downloaded by us, and goes when all is done; otherwise it is the user's."""

    def place(self, target: Path) -> None:
        """Put the file at `target`, without copying it if it is ours."""
        if self.is_ours:
            try:
                os.link(self.path, target)
                return
            except OSError:
                pass  # No hard links here, or another file system.
        shutil.copyfile(self.path, target)


@dataclass(frozen=True, slots=True)
class Check:
    """What comparing one part of the data with what is known of it gave."""

    what: str
    """The part, such as a split or a file."""
    state: Literal["verified", "unverified", "different", "missing"]
    """`unverified`: nothing is known to compare it with."""
    digest: str = ""
    """The hash of its content, in hexadecimal digits."""
    note: str = ""
    """What else there is to say, such as how many tasks it holds."""


Pack = Callable[[Mapping[str, Fetched], Path, "Progress"], None]
"""Fills the empty folder it is given from the downloads, by their names; raises `DataError`."""
Verify = Callable[[Path], tuple[Check, ...]]
"""Checks the folder of a source."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set: what it is, where it comes from, and how it becomes what is read."""

    name: str
    """The word after `agentrl data get`."""
    environment: str
    """The environment that reads it."""
    folder: str
    """Its folder in the data folder."""
    summary: str
    """What it is, on one line."""
    licence: str
    """Who made it and on what terms, on one line."""
    files: tuple[DataFile, ...]
    downloads: tuple[Download, ...]
    pack: Pack
    verify: Verify = lambda folder: ()
    bytes: int = 0
    """About how large it is when packed."""

    def find(self, root: Path, file: DataFile) -> Path | None:
        """Return where a file of this source lies below the data folder, or None."""
        folder = root / self.folder
        names = (file.name, *file.stand_ins)
        spellings = (folder / f"{name}{end}" for name in names for end in ("", ".xz"))
        return next((path for path in spellings if path.is_file()), None)

    def is_present(self, root: Path) -> bool:
        """Return whether all files that the environment needs are below the data folder."""
        return all(file.optional or self.find(root, file) for file in self.files)
