"""Whole files by name: the suffix says which format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from agentrl.errors import DataError
from agentrl.storage.atomic import replacing
from agentrl.storage.jsonl import Reader, Writer
from agentrl.trajectory import Trajectory


def iterate(path: str | Path) -> Iterator[Trajectory]:
    """Yield the trajectories of a file one by one.

    Raises:
        DataError: The file is missing, damaged, or of an unknown format.
        MissingExtraError: Parquet without pyarrow.
    """
    path = Path(path)
    if _is_parquet(path):
        from agentrl.storage.parquet import read_rows

        yield from read_rows(path)
    else:
        yield from Reader(path)


def read(path: str | Path) -> list[Trajectory]:
    """Return the trajectories of a file; see `iterate`."""
    return list(iterate(path))


def write(path: str | Path, trajectories: Iterable[Trajectory]) -> None:
    """Write a whole file; an older one of that name is replaced only when the new one is complete.

    Raises:
        DataError: The file cannot be written, or its suffix names no format.
        MissingExtraError: Parquet without pyarrow.
    """
    path = Path(path)
    if _is_parquet(path):
        from agentrl.storage.parquet import write_rows

        with replacing(path) as unfinished:
            write_rows(unfinished, trajectories)
        return
    with replacing(path) as unfinished, Writer(unfinished, append=False) as writer:
        for trajectory in trajectories:
            writer.write(trajectory)


def _is_parquet(path: Path) -> bool:
    if path.suffix == ".parquet":
        return True
    if path.name.endswith((".jsonl", ".jsonl.zst")):
        return False
    raise DataError(f"{path}: name it .jsonl, .jsonl.zst or .parquet; the suffix says the format")
