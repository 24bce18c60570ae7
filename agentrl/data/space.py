"""Whether there is room on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from agentrl.data.progress import size
from agentrl.errors import DataError

_MARGIN = 50_000_000
"""Bytes that should stay free."""


def require_space(folder: Path, needed: int) -> None:
    """Raise `DataError` if fewer than `needed` bytes and a margin are free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    wanted = max(needed, 0) + _MARGIN
    if free < wanted:
        raise DataError(
            f"{folder} needs {size(wanted)} and has {size(free)} free; free some space, "
            "or choose another folder with --to"
        )
