"""Arrays in files, mapped into memory: read on demand and shared by all processes."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.errors import DataError


def save_array(file: Path, values: NDArray[Any]) -> None:
    """Write an array that `map_array` can read."""
    np.save(file, values, allow_pickle=False)


def create_array(file: Path, kind: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a new array in a file, all zero, to be written to; not all of it is in memory."""
    try:
        open_memmap: Any = np.lib.format.open_memmap  # untyped before numpy 2.4
        return np.asarray(open_memmap(file, "w+", kind, shape))
    except ValueError:  # an empty file cannot be mapped
        save_array(file, np.zeros(shape, kind))
        return map_array(file)


def map_array(file: Path) -> NDArray[Any]:
    """Return the array of a file, which stays on disk.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        # A plain array: numpy's memmap class makes each slice several times slower.
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise damaged(file, error) from error


def map_bytes(file: Path) -> memoryview:
    """Return the bytes of a file, which stay on disk.

    Raises:
        DataError: The file is missing.
    """
    try:
        with file.open("rb") as data:
            if file.stat().st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise damaged(file, error) from error


def damaged(file: Path, error: object) -> DataError:
    """Return the error that says which file to delete so that it is made again."""
    what = " ".join(str(error).split())
    return DataError(
        f"{file} is damaged ({what}); delete the folder {file.parent.parent}: it is made again"
    )
