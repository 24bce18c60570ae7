from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentrl.config import Config, build_config
from agentrl.errors import CheckpointError, ConfigError
from agentrl.learner.checkpoint import load_latest
from agentrl.monitor.metrics import read_metrics
from agentrl.parts import build_parts
from agentrl.rewards.compose import state_dict
from agentrl.run import RunDirectory
from agentrl.trainer import Trainer, train

OTC = {"otc": {"max_calls": 4, "alpha": 0.5}}


@pytest.fixture
def config(tree: dict[str, Any]) -> Config:
    return build_config({**tree, "rewards": [OTC, {"invalid_action": {"penalty": 0.1}}]}, "test")


def rewards(run: RunDirectory) -> list[tuple[float, float]]:
    return [(row["reward"], row["loss"]) for row in read_metrics(run.metrics_file)]


def test_credit_sees_them_and_stored_episodes_do_not(
    tree: dict[str, Any], config: Config, tmp_path: Path
) -> None:
    one = {"updates": 1}
    run = RunDirectory.create(tmp_path / "run", config)
    assert train(config.model_copy(update=one), run, build_parts(config))
    plain = build_config(tree, "test")
    free = RunDirectory.create(tmp_path / "free", plain)
    assert train(plain.model_copy(update=one), free, build_parts(plain))
    (shaped,), (paid,) = rewards(run), rewards(free)
    assert shaped[0] < paid[0]
    assert shaped[0] <= 0.5 * paid[0] + 1e-9
    stored = [r.trajectory_file(1).read_bytes() for r in (run, free)]
    assert stored[0] == stored[1]


def test_what_they_know_survives_a_restart(config: Config, tmp_path: Path) -> None:
    whole = RunDirectory.create(tmp_path / "whole", config)
    parts = build_parts(config)
    assert train(config, whole, parts)
    known = state_dict(parts.rewards)
    assert known["otc"]
    checkpoint = load_latest(whole.checkpoints)
    assert checkpoint is not None
    assert checkpoint.state["rewards"] == known

    broken = RunDirectory.create(tmp_path / "broken", config)
    assert train(config.model_copy(update={"updates": 2}), broken, build_parts(config))
    parts = build_parts(config)
    assert train(config, broken, parts)
    assert state_dict(parts.rewards) == known
    assert rewards(broken) == rewards(whole)


def test_a_checkpoint_without_them_is_refused(
    tree: dict[str, Any], config: Config, tmp_path: Path
) -> None:
    plain = build_config({**tree, "updates": 1}, "test")
    run = RunDirectory.create(tmp_path / "run", plain)
    assert train(plain, run, build_parts(plain))
    with pytest.raises(CheckpointError, match="nothing of reward transform 'otc'"):
        Trainer(config, run, build_parts(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": ["overlong", OTC]}, "'otc' .* must stand before 'overlong'"),
        ({"rewards": [{"noisy_verifier": {"false_positive": 0.2}}]}, "does nothing under credit"),
        ({"rewards": ["renorm"]}, "'process_score'"),
        ({"credit": ["grpo", "salt", "gigpo"]}, "use .grpo, salt."),
        ({"rollout": {"group_size": 1}}, "use rollout.group_size=8, or credit=.spo."),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_rollout(
    tree: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_parts(build_config({**tree, **changes}, "test"))
    assert "\n" not in str(caught.value)
