"""The run's figures on disk: `metrics.jsonl`, one line per update, and `held_out.jsonl`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from agentrl.errors import DataError
from agentrl.storage.atomic import replacing

Metrics = dict[str, float]


class MetricsFile:
    """Appends one JSON line per update; a resumed run continues where its checkpoint was.

    Attributes:
        last: The last line's update; None where there is no line.
    """

    last: int | None

    def __init__(self, path: Path, *, keep_through: int) -> None:
        """Open the file and drop lines of updates after `keep_through`: they will come again.

        Raises:
            DataError: A line before the last is damaged, or the file cannot be written.
        """
        kept = [row for row in read_metrics(path) if row["update"] <= keep_through]
        # A kill amid this leaves the file as it was.
        with replacing(path) as unfinished:
            unfinished.write_text("".join(_line(row) for row in kept))
        self.last = kept[-1]["update"] if kept else None
        self._file = path.open("a")

    def log(self, update: int, metrics: Metrics) -> None:
        """Append the figures of one update."""
        self._file.write(_line({"update": update, **metrics}))
        self._file.flush()
        self.last = update

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file; a last line cut off by a crash is left out.

    Raises:
        DataError: A line before the last is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines):
                raise DataError(
                    f"{path} line {number} is damaged; delete that line to go on"
                ) from None
    return rows


def _line(row: dict[str, Any]) -> str:
    # JSON has no NaN; a figure that does not exist is null.
    clean = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
    }
    return json.dumps(clean) + "\n"
