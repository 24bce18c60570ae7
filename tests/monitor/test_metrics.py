from __future__ import annotations

from pathlib import Path

import pytest

from agentrl.errors import DataError
from agentrl.monitor.metrics import MetricsFile, read_metrics


def test_a_resumed_run_writes_the_dropped_updates_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, keep_through=0)
    for update in (1, 2, 3):
        file.log(update, {"loss": update / 2})
    file.close()
    MetricsFile(path, keep_through=2).close()
    assert read_metrics(path) == [{"update": 1, "loss": 0.5}, {"update": 2, "loss": 1.0}]


def test_dropping_updates_never_shortens_the_file_in_place(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1}\n{"update": 2}\n')
    with path.open() as before:
        MetricsFile(path, keep_through=1).close()
        # What a kill amid the rewriting would have left: the file that was there.
        assert before.read() == '{"update": 1}\n{"update": 2}\n'
    assert path.read_text() == '{"update": 1}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_figures_that_do_not_exist_are_null(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, keep_through=0)
    file.log(1, {"loss": float("nan"), "kl": float("inf")})
    file.close()
    assert read_metrics(path) == [{"update": 1, "loss": None, "kl": None}]


def test_a_cut_off_last_line_is_dropped_but_damage_is_not(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1}\n{"upd')
    assert read_metrics(path) == [{"update": 1}]
    path.write_text('{"upd\n{"update": 2}\n')
    with pytest.raises(DataError, match="line 1"):
        read_metrics(path)


def test_no_file_is_no_lines(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == []
