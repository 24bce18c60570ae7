"""Things made once from data and kept: indexes, compiled games.

They lie in the folder that `AGENTRL_CACHE` names, else in the user's cache folder. An entry is
named by a hash of what it was made from, so that it never goes stale, and appears whole or not at
all: processes that make the same entry at the same time do not see each other's halves.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from agentrl.errors import DataError

CACHE_VARIABLE = "AGENTRL_CACHE"


def cache_folder() -> Path:
    """Return the folder for things that can be made again; it need not exist."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "agentrl"


def build_once(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return the folder of an entry, which is made if it is not there.

    Args:
        kind: What it is, such as `webshop-index`: the folder's parent.
        key: A hash of everything it depends on, the maker's version included.
        build: Fills the empty folder it is given.

    Raises:
        DataError: The cache folder cannot be written.
    """
    entry = cache_folder() / kind / key
    if entry.is_dir():
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=entry.parent))
    except OSError as error:
        raise DataError(
            f"cannot write the cache folder {entry.parent} ({error.strerror}); "
            f"set {CACHE_VARIABLE} to a folder that can be written"
        ) from error
    try:
        build(draft)
        _publish(draft, entry)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return entry


def _publish(draft: Path, entry: Path) -> None:
    """Give the finished entry its name, unless another process has just done so."""
    try:
        draft.rename(entry)
    except OSError:
        if not entry.is_dir():
            raise
