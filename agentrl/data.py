"""The folder of data sets that `AGENTRL_DATA` names, and what may lie in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agentrl.errors import DataError

DATA_VARIABLE = "AGENTRL_DATA"


@dataclass(frozen=True, slots=True)
class DataSet:
    """One file or folder of the data folder."""

    name: str
    """Its path in the data folder."""
    environment: str
    """The environment that reads it."""
    purpose: str
    """What it is for."""
    held_out: bool = False
    """Whether the trainer refuses to learn from it."""


CATALOGUE: tuple[DataSet, ...] = (
    DataSet("alfworld/train.jsonl.xz", "alfworld", "official ALFWorld games, training split"),
    DataSet(
        "alfworld/valid_train.jsonl.xz", "alfworld", "official panel: kitchens like training's"
    ),
    DataSet("alfworld/valid_seen.jsonl.xz", "alfworld", "official panel: rooms seen", True),
    DataSet("alfworld/valid_unseen.jsonl.xz", "alfworld", "official panel: rooms never seen", True),
    DataSet("alfworld/goldens.jsonl.xz", "alfworld", "episodes recorded from the original engine"),
    DataSet("alfworld/domain.pddl", "alfworld", "the rules all official games share"),
    DataSet("alfworld/grammar.twl2", "alfworld", "the wording all official games share"),
)
"""What agentrl can read today."""


def data_root() -> Path | None:
    """Return the folder that `AGENTRL_DATA` names, or None where it is not set."""
    folder = os.environ.get(DATA_VARIABLE)
    return Path(folder) if folder else None


def require_data_root() -> Path:
    """Return the data folder.

    Raises:
        DataError: `AGENTRL_DATA` is not set or names no folder.
    """
    root = data_root()
    if root is None:
        raise DataError(f"{DATA_VARIABLE} is not set; export it as the folder that holds the data")
    if not root.is_dir():
        raise DataError(f"{DATA_VARIABLE} names {str(root)!r}, which is not a folder; mend it")
    return root
