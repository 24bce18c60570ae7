"""Signals in a run: measured where a credit method needs them, their models in checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentrl.config import Config, build_config
from agentrl.errors import CheckpointError, ConfigError
from agentrl.learner.prm import ProcessRewardModel
from agentrl.monitor.metrics import read_metrics
from agentrl.parts import build_parts
from agentrl.run import RunDirectory
from agentrl.trainer import Trainer, train

LISTS: dict[str, list[Any]] = {
    "oprl": ["rloo", {"oprl": {"beta": 0.1}}],
    "gae": [{"gae": {"mode": "turn"}}, "whiten"],
    "empg": ["grpo", "empg"],
}


def configured(tree: dict[str, Any], credit: list[Any], **sections: Any) -> Config:
    return build_config({**tree, "credit": credit, **sections}, "test")


def figures(run: RunDirectory) -> list[dict[str, float]]:
    dropped = ("seconds", "tokens_per_second", "rollout/")
    rows = read_metrics(run.metrics_file)
    return [{k: v for k, v in row.items() if not k.startswith(dropped)} for row in rows]


@pytest.mark.parametrize("name", sorted(LISTS))
def test_a_run_that_was_stopped_goes_on_exactly(
    name: str, tree: dict[str, Any], tmp_path: Path
) -> None:
    config = configured(tree, LISTS[name])
    whole = RunDirectory.create(tmp_path / "whole", config)
    assert train(config, whole, build_parts(config))
    broken = RunDirectory.create(tmp_path / "broken", config)
    assert train(config.model_copy(update={"updates": 2}), broken, build_parts(config))
    assert train(config, broken, build_parts(config))
    assert figures(broken) == figures(whole)


def test_only_what_is_needed_is_there(tree: dict[str, Any]) -> None:
    assert build_parts(configured(tree, ["grpo", "salt"])).sources == []
    (source,) = build_parts(configured(tree, ["grpo", "empg"])).sources
    assert source.provides == {"entropy"}
    names = [s.provides for s in build_parts(configured(tree, LISTS["oprl"])).sources]
    assert names == [{"old_logprob"}, {"prm_log_ratio"}]
    reward_model = build_parts(configured(tree, LISTS["oprl"])).sources[1]
    assert isinstance(reward_model, ProcessRewardModel)
    assert reward_model.beta == 0.1


def test_the_reward_model_learns_which_episodes_are_better(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    config = configured(
        tree, LISTS["oprl"], updates=25, prm={"learning_rate": 0.01}, checkpoint_every=25
    )
    config = config.model_copy(
        update={"learner": config.learner.model_copy(update={"learning_rate": 1e-9})}
    )
    run = RunDirectory.create(tmp_path / "run", config)
    assert train(config, run, build_parts(config))
    accuracy = [row["prm/accuracy"] for row in figures(run) if "prm/accuracy" in row]
    assert np.mean(accuracy[-8:]) > 0.8
    assert np.mean(accuracy[-8:]) > np.mean(accuracy[:3])


def test_a_checkpoint_without_the_model_is_refused(tree: dict[str, Any], tmp_path: Path) -> None:
    config = configured(tree, ["rloo"], updates=1)
    run = RunDirectory.create(tmp_path / "run", config)
    assert train(config, run, build_parts(config))
    with_prm = configured(tree, LISTS["oprl"])
    with pytest.raises(CheckpointError, match="nothing for the signal 'prm_log_ratio'"):
        Trainer(with_prm, run, build_parts(with_prm))


def test_a_signal_that_nothing_measures_is_refused(tree: dict[str, Any], tmp_path: Path) -> None:
    method = tmp_path / "own.py"
    method.write_text(
        "from agentrl.credit.grpo import Grpo\n"
        "class Own(Grpo):\n"
        "    name = 'own'\n"
        "    needs = frozenset({'moon_phase'})\n"
    )
    with pytest.raises(ConfigError, match=r"'own' needs the signal 'moon_phase'.*prm_log_ratio"):
        build_parts(configured(tree, [f"{method}:Own"]))
