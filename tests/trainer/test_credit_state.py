from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentrl.config import Config, build_config
from agentrl.credit.spo import Spo
from agentrl.errors import CheckpointError
from agentrl.learner.checkpoint import load_latest
from agentrl.monitor.metrics import read_metrics
from agentrl.parts import Parts, build_parts
from agentrl.run import RunDirectory
from agentrl.trainer import Trainer, train


@pytest.fixture
def spo(tree: dict[str, Any]) -> Config:
    rollout = {"tasks": 4, "group_size": 1}
    env = {**tree["env"], "tasks": 6}
    return build_config({**tree, "env": env, "rollout": rollout, "credit": ["spo"]}, "test")


def rewards(run: RunDirectory) -> list[tuple[float, float]]:
    return [(row["reward"], row["loss"]) for row in read_metrics(run.metrics_file)]


def tracked(parts: Parts) -> dict[str, Any]:
    (method,) = parts.methods
    assert isinstance(method, Spo)
    return method.state_dict()


def test_what_a_method_knows_survives_a_restart(spo: Config, tmp_path: Path) -> None:
    whole = RunDirectory.create(tmp_path / "whole", spo)
    parts = build_parts(spo)
    assert train(spo, whole, parts)
    known = tracked(parts)
    assert 4 < len(known) <= 6
    checkpoint = load_latest(whole.checkpoints)
    assert checkpoint is not None
    assert checkpoint.state["credit"] == {"spo": known}

    broken = RunDirectory.create(tmp_path / "broken", spo)
    assert train(spo.model_copy(update={"updates": 2}), broken, build_parts(spo))
    parts = build_parts(spo)
    assert train(spo, broken, parts)
    assert tracked(parts) == known
    assert rewards(broken) == rewards(whole)


def test_a_checkpoint_without_it_is_refused(spo: Config, tmp_path: Path) -> None:
    pairs = spo.rollout.model_copy(update={"group_size": 2})
    grpo = spo.model_copy(update={"credit": ("grpo",), "updates": 1, "rollout": pairs})
    run = RunDirectory.create(tmp_path / "run", grpo)
    assert train(grpo, run, build_parts(grpo))
    state = json.loads((run.checkpoints / "step-000001" / "state.json").read_text())
    assert state["credit"] == {}
    with pytest.raises(CheckpointError, match="nothing of credit method 'spo'"):
        Trainer(spo, run, build_parts(spo))
