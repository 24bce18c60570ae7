"""The folder that holds all data sets."""

from __future__ import annotations

import os
from pathlib import Path

from agentrl.errors import DataError

DATA_VARIABLE = "AGENTRL_DATA"


def data_root() -> Path:
    """Return the data folder: the one that `AGENTRL_DATA` names, else the user's own.

    The user's own is `agentrl` in `XDG_DATA_HOME`, or in `~/.local/share` where that is not set.
    The folder need not exist.
    """
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named)
    shared = os.environ.get("XDG_DATA_HOME")
    return (Path(shared) if shared else Path.home() / ".local" / "share") / "agentrl"


def require_data_root() -> Path:
    """Return the data folder, which is there.

    Raises:
        DataError: There is no such folder.
    """
    root = data_root()
    if root.is_dir():
        return root
    if os.environ.get(DATA_VARIABLE):
        raise DataError(f"{DATA_VARIABLE} names {str(root)!r}, which is not a folder; mend it")
    raise DataError(
        f"there is no data yet: {root} is not there; `agentrl data get NAME` makes it, or export "
        f"{DATA_VARIABLE} as the folder that holds the data"
    )
