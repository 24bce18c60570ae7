"""docs/rewards.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentrl import rewards, storage
from agentrl.batch import Batch
from agentrl.config import build_config
from agentrl.config import read_yaml as read_yaml_file
from agentrl.registry import names
from agentrl.trajectory import Outcome, Trajectory, Turn

PAGE = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text()


@pytest.fixture
def episodes() -> list[Trajectory]:
    return [
        Trajectory(str(i), "g", "t", [Turn("see", "do", reward=float(i))], Outcome.FAILURE)
        for i in range(2)
    ]


def test_the_table_is_complete() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE, re.M))
    assert set(rows) == set(names("rewards"))
    for name, stage in rows.items():
        (transform,) = rewards.parse([{name: {"max_calls": 4} if name == "otc" else None}])
        assert transform.stage == stage


def test_the_configuration_is_one(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert block is not None
    (tmp_path / "run.yaml").write_text(block[1])
    config = build_config(read_yaml_file(tmp_path / "run.yaml"), "page")
    assert [t.name for t in rewards.parse(list(config.rewards))] == [
        "otc",
        "overlong",
        "invalid_action",
    ]


def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, episodes: list[Trajectory]
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write(Path("rollouts.jsonl"), episodes)
    trainer, own = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    space: dict[str, object] = {}
    exec(trainer, space)
    assert space["advantages"] == pytest.approx([-0.7071, 0.7071], abs=1e-4)
    Path("mine.py").write_text(own)
    transforms = rewards.parse([{"mine.py:Scaled": {"by": 3.0}}])
    after = rewards.apply(Batch.from_trajectories(episodes), transforms)
    assert after.returns.tolist() == [0.0, 3.0]
