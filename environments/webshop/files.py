"""Where the shop's data lies: the files of the original release, plain or packed with xz."""

from __future__ import annotations

import hashlib
import io
import lzma
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from agentrl.data import data_root
from agentrl.errors import DataError

SMALL = "webshop_small"
"""The folder of the 1000-product set in the data folder."""
FULL = "webshop_full"
"""The folder of the set of 1.18 million products in the data folder."""

_SETS = {"small": SMALL, "full": FULL}
_PRODUCTS = ("items_shuffle_1000.json", "items_shuffle.json")
_ATTRIBUTES = ("items_ins_v2_1000.json", "items_ins_v2.json")
_HUMAN = ("items_human_ins_1000.json", "items_human_ins.json")
_MEND = (
    "put the release's files there, get them with `agentrl data get webshop`, or name their folder "
    "with data=…"
)


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of one catalogue."""

    products: Path
    attributes: Path
    human: Path | None
    """The instructions written by people; not every catalogue has them."""


def data_folder(data: str | Path | None = None) -> Path:
    """Return the folder of a catalogue.

    Args:
        data: A folder, or `small` or `full` for the one of that size in the data folder; None is
            `small`.

    Raises:
        DataError: The folder is not there.
    """
    given = data is not None and str(data) not in _SETS
    folder = Path(str(data)) if given else data_root() / _SETS[str(data or "small")]
    if not folder.is_dir():
        raise DataError(f"the WebShop data folder {folder} is not there; {_MEND}")
    return folder


def sources(folder: Path) -> Sources:
    """Return the files of the catalogue in a folder.

    Raises:
        DataError: The products or the attributes are not there.
    """
    human = _find(folder, _HUMAN)
    return Sources(_require(folder, _PRODUCTS), _require(folder, _ATTRIBUTES), human)


def content_hash(file: Path) -> str:
    """Return the hash of a file's bytes as they lie on disk (16 hex digits)."""
    status = file.stat()
    return _content_hash(file, status.st_mtime_ns, status.st_size)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked.

    Raises:
        DataError: It cannot be read or its packing is damaged, at any time until it is closed.
    """
    try:
        if file.suffix == ".xz":
            with lzma.open(file, "rb") as packed:
                yield io.BufferedReader(packed)
        else:
            with file.open("rb") as plain:
                yield plain
    except (lzma.LZMAError, EOFError) as error:
        raise DataError(f"{file} is damaged: {error}; copy the file again") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}; mend or replace it") from (
            error
        )


def _find(folder: Path, names: Sequence[str]) -> Path | None:
    candidates = (folder / f"{name}{packing}" for name in names for packing in ("", ".xz"))
    return next((file for file in candidates if file.is_file()), None)


def _require(folder: Path, names: Sequence[str]) -> Path:
    found = _find(folder, names)
    if found is None:
        wanted = " or ".join(names)
        raise DataError(f"no {wanted} (or the same with .xz) in {folder}; {_MEND}")
    return found


# Hashing the full set takes seconds, and every environment asks.
@lru_cache(maxsize=32)
def _content_hash(file: Path, _changed: int, _size: int) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()[:16]
