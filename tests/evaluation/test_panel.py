from __future__ import annotations

from pathlib import Path

import pytest

from agentrl.errors import DataError, TaskError
from agentrl.evaluation.panel import Panel
from agentrl.tasks import TaskSet


def tasks(**content: str) -> TaskSet:
    return TaskSet({"test": list(content)}, fingerprint=content.__getitem__)


def test_the_first_tasks_of_a_split() -> None:
    seeded = TaskSet.seeded(train=10, test=10_000_000)
    panel = Panel.first("game", seeded, "test", 3)
    assert list(panel.fingerprints) == ["test/0", "test/1", "test/2"]
    assert panel.fingerprints["test/1"] == seeded.fingerprint("test/1")
    assert len(Panel.first("game", seeded, "train", 99).fingerprints) == 10
    with pytest.raises(TaskError, match="unknown split"):
        Panel.first("game", seeded, "tset", 3)
    with pytest.raises(TaskError, match="no tasks"):
        Panel.first("game", TaskSet({"test": []}), "test", 3)


def test_a_panel_is_kept_and_extended(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "panel.json"
    now = tasks(a="1", b="2", c="3")
    assert Panel.keep(path, "game", now, "test", 2) == Panel.load(path, now)
    assert len(Panel.keep(path, "game", now, "test", 1).fingerprints) == 1
    assert len(Panel.load(path, now).fingerprints) == 2
    assert len(Panel.keep(path, "game", now, "test", 3).fingerprints) == 3
    assert list(Panel.load(path, now).fingerprints) == ["a", "b", "c"]


@pytest.mark.parametrize("later", [tasks(a="1", b="other"), tasks(a="1")])
def test_a_changed_or_lost_task_is_named(tmp_path: Path, later: TaskSet) -> None:
    path = tmp_path / "panel.json"
    Panel.keep(path, "game", tasks(a="1", b="2"), "test", 2)
    for use in (lambda: Panel.load(path, later), lambda: Panel.keep(path, "g", later, "test", 2)):
        with pytest.raises(TaskError, match=r"1 of the 2 tasks in .*panel\.json.* 'b' first"):
            use()


def test_a_split_that_begins_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "panel.json"
    Panel.keep(path, "game", tasks(a="1", b="2"), "test", 2)
    with pytest.raises(TaskError, match="begins with other tasks"):
        Panel.keep(path, "game", tasks(b="2", a="1"), "test", 2)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1", b"\xff", b'{"environment": 3}'])
def test_a_damaged_panel(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "panel.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"panel\.json is not a task panel"):
        Panel.load(path, tasks())
    with pytest.raises(DataError, match="cannot read"):
        Panel.load(tmp_path / "none.json", tasks())
