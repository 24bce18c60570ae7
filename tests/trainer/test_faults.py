"""Training with environments that raise, hang and die under it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentrl.config import build_config
from agentrl.errors import AgentRLError, EngineFault
from agentrl.learner.checkpoint import load_latest
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


def test_what_was_learned_is_saved_before_an_engine_fails_for_good(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree["rollout"] |= {"retries": 0}
    config = build_config({**tree, "checkpoint_every": 100}, "test")
    parts = build_parts(config)
    generate = parts.engine.generate

    async def dies_after_two_updates(request: Any) -> Any:
        if parts.engine.policy_version == 2:  # type: ignore[attr-defined]
            raise EngineFault("the server did not come back")
        return await generate(request)

    monkeypatch.setattr(parts.engine, "generate", dies_after_two_updates)
    run = RunDirectory.create(tmp_path / "run", config)
    with pytest.raises(AgentRLError, match="did not come back") as caught:
        train(config, run, parts)
    assert str(caught.value).endswith(f"2 updates are saved, go on with: agentrl resume {run.path}")
    checkpoint = load_latest(run.checkpoints)
    assert checkpoint is not None
    assert checkpoint.step == 2
    monkeypatch.undo()
    assert train(config, run, build_parts(config))
    assert [row["update"] for row in read_metrics(run.metrics_file)] == [1, 2, 3, 4]


def test_an_update_after_which_the_engine_fails_is_reported(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = build_config({**tree, "checkpoint_every": 100}, "test")
    parts = build_parts(config)
    load_weights = parts.engine.load_weights

    async def dies_taking_the_second(version: int, weights: Any) -> None:
        if version == 2:
            raise EngineFault("the server did not come back")
        await load_weights(version, weights)

    monkeypatch.setattr(parts.engine, "load_weights", dies_taking_the_second)
    run = RunDirectory.create(tmp_path / "run", config)
    with pytest.raises(EngineFault, match="2 updates are saved"):
        train(config, run, parts)
    assert "seconds_sync" in read_metrics(run.metrics_file)[-1]
    assert train(config, run, build_parts(config))
    assert [row["update"] for row in read_metrics(run.metrics_file)] == [1, 2, 3, 4]
