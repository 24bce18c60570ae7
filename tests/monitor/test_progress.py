from __future__ import annotations

import io

from rich.console import Console

from agentrl.monitor.progress import COLUMNS, Progress


def printed(rows: int) -> list[str]:
    stream = io.StringIO()
    progress = Progress(100, Console(file=stream, width=200))
    for update in range(1, rows + 1):
        progress.row(update, {"success": 0.5, "seconds_rollout": 3.0, "seconds_learning": 1.0})
    progress.note("a note")
    return stream.getvalue().splitlines()


def test_a_row_shows_figures_and_where_time_went() -> None:
    header, row, note = printed(1)
    assert all(column.title in header for column in COLUMNS)
    assert "50%" in row
    assert "4.0: 75%/0%/0%/25%/0%" in row
    assert "-" in row
    assert note == "a note"


def test_the_header_comes_back() -> None:
    lines = printed(26)
    assert sum("success" in line for line in lines) == 2


def test_header_and_rows_line_up() -> None:
    header, row, _ = printed(1)
    assert len(header) == len(row)
    assert header.index("success") + len("success") == row.index("50%") + len("50%")
