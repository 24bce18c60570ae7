"""`agentrl data list` and `agentrl data path`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agentrl.cli.output import print_json, print_table
from agentrl.data import CATALOGUE, DATA_VARIABLE, DataSet, data_root, require_data_root


def list_data(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the data sets agentrl can read, what each is for, and which are here."""
    sets = [_describe(data_set) for data_set in CATALOGUE]
    root = data_root()
    if as_json:
        print_json({"folder": None if root is None else str(root), "sets": sets})
        return
    rows = [(row["name"], row["environment"], _size(row["bytes"]), row["purpose"]) for row in sets]
    print_table(("data", "environment", "size", "for"), rows)
    if root is None:
        print(f"{DATA_VARIABLE} is not set: export it as the folder that holds these files.")
    else:
        print(f"{DATA_VARIABLE} is {root}.")


def path() -> None:
    """Print the folder that holds the data."""
    print(require_data_root())


def _describe(data_set: DataSet) -> dict[str, Any]:
    root = data_root()
    file = root / data_set.name if root is not None else None
    return {
        "name": data_set.name,
        "environment": data_set.environment,
        "purpose": data_set.purpose + (" (held out)" if data_set.held_out else ""),
        "bytes": file.stat().st_size if file is not None and file.is_file() else None,
    }


def _size(count: int | None) -> str:
    return "missing" if count is None else f"{count / 1024:,.0f} KiB"
