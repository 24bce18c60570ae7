"""The shipped configurations make sense without the models, data and GPUs that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrl import credit
from agentrl.config import Config, load_config
from agentrl.credit.compatibility import check_run
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
def test_learner_and_server_share_a_gpu_only_in_turns(file: Path) -> None:
    config = load_config(file)
    assert config.policy.device.startswith("cuda")
    options = config.engine.options
    seen = options.get("environment", {}).get("CUDA_VISIBLE_DEVICES")
    assert config.schedule.share_device is (seen is None)
    if seen is not None:
        servers = seen.split(",")
        assert config.policy.device.removeprefix("cuda:") not in servers
        assert len(servers) == options["server"].get("tensor_parallel_size", 1)


def test_generated_games_exist(config: Config) -> None:
    if config.env.options.get("source") == "official" or config.env.name == "webshop":
        pytest.skip("needs data")
    env = make(config.env.name, split=config.env.split, **config.env.options)
    assert env.tasks.ids(config.env.split)
