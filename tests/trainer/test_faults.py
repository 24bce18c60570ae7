"""Training with environments that raise, hang and die under it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil

from agentrl.config import build_config
from agentrl.monitor.metrics import read_metrics
from agentrl.parts import build_parts
from agentrl.run import RunDirectory
from agentrl.trainer import train

FAULTY = f"{Path(__file__).parents[1] / 'rollout' / 'faulty.py'}:Faulty"


def test_training_survives_broken_environments(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["env"] = {"name": FAULTY, "options": {"rate": 0.1, "max_turns": 4}}
    tree["dialogue"] = {"format": "plain", "max_turn_tokens": 4}
    tree["rollout"] = {"tasks": 3, "group_size": 4, "workers": 3, "turn_seconds": 2.0}
    config = build_config({**tree, "updates": 3}, "test")
    process = psutil.Process()
    others = set(process.children(recursive=True))
    before = len(os.listdir("/proc/self/fd"))
    run = RunDirectory.create(tmp_path / "run", config)
    assert train(config, run, build_parts(config))
    rows = read_metrics(run.metrics_file)
    assert [row["update"] for row in rows] == [1, 2, 3]
    names = ("episodes", "lost", "retries", "refills")
    total = {name: sum(row[f"rollout/{name}"] for row in rows) for name in names}
    faults = sum(row[key] for row in rows for key in row if key.startswith("rollout/fault/"))
    assert faults > 0
    assert faults == total["retries"] + total["lost"]
    assert total["episodes"] == 3 * 12 - total["lost"] + total["refills"]
    assert set(process.children(recursive=True)) <= others
    assert len(os.listdir("/proc/self/fd")) <= before + 2
