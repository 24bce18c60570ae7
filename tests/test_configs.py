"""The shipped configurations make sense without the models, data and GPUs that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrl import credit
from agentrl.config import Config, load_config
from agentrl.credit.compatibility import check_run
from agentrl.engines.base import Deployment
from agentrl.engines.vllm.placement import server_gpus
from agentrl.learner.options import check_options
from agentrl.learner.schedule import check_schedule
from agentrl.registry import make
from agentrl.rewards import compose as rewards
from agentrl.rollout.schedule import Schedule

FOLDER = Path(__file__).resolve().parent.parent / "configs"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.fixture(params=FILES, ids=lambda file: file.name)
def config(request: pytest.FixtureRequest) -> Config:
    return load_config(request.param)


def test_settings_go_together(config: Config) -> None:
    check_run(config, credit.parse(list(config.credit)), rewards.parse(list(config.rewards)))
    Schedule.of(config.schedule)
    steps = config.updates * config.learner.epochs * config.learner.minibatches
    check_options(config.learner, steps)
    check_schedule(config.learner, steps)


def test_half_precision_is_kept_for_frozen_weights(config: Config) -> None:
    assert config.policy.dtype == "float32" or config.policy.lora_rank
    assert not (config.policy.dtype == "bfloat16" and config.learner.autocast)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("qwen-*.yaml")), ids=lambda file: file.name)
def test_learner_and_server_share_a_gpu_only_in_turns(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(file)
    device, shares = config.policy.device, config.schedule.share_device
    server = config.engine.options["server"]
    needed = server.get("tensor_parallel_size", 1)
    # As many GPUs as the recipe speaks of.
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: needed + (not shares))
    gpus = server_gpus(Deployment(learner_device=device, shares_device=shares))
    assert gpus is not None
    assert len(gpus.split(",")) == needed
    assert ("0" in gpus.split(",")) is shares  # where the learner is
    assert server["gpu_memory_utilization"] < (0.7 if shares else 0.95)


def test_generated_games_exist(config: Config) -> None:
    if config.env.options.get("source") == "official" or config.env.name == "webshop":
        pytest.skip("needs data")
    env = make(config.env.name, split=config.env.split, **config.env.options)
    assert env.tasks.ids(config.env.split)
