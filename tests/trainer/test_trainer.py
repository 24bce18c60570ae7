from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentrl import quickstart, storage
from agentrl.cli import main
from agentrl.config import Config, build_config, load_config
from agentrl.errors import CheckpointError, ConfigError, HeldOutError, RegistryError
from agentrl.learner.checkpoint import list_checkpoints
from agentrl.monitor.metrics import read_metrics
from agentrl.parts import build_parts
from agentrl.run import RunDirectory
from agentrl.storage.ledger import balance
from agentrl.trainer import Trainer, train

CLOCKED = ("seconds", "per_second", "lag")
"""Parts of the names of figures that depend on the clock."""


def start(config: Config, path: Path) -> RunDirectory:
    run = RunDirectory.create(path, config)
    assert train(config, run, build_parts(config))
    return run


def figures(run: RunDirectory) -> list[dict[str, Any]]:
    rows = read_metrics(run.metrics_file)
    return [{k: v for k, v in row.items() if not any(c in k for c in CLOCKED)} for row in rows]


def changed(tree: dict[str, Any], **sections: Any) -> Config:
    merged = {**tree}
    for name, value in sections.items():
        merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    return build_config(merged, "test")


def test_a_policy_learns(tree: dict[str, Any], tmp_path: Path) -> None:
    run = start(changed(tree, updates=15, rollout={"tasks": 8}), tmp_path / "run")
    rows = figures(run)
    assert rows[0]["success"] < 0.9
    assert sum(row["success"] for row in rows[-3:]) / 3 > rows[0]["success"] + 0.1


def test_a_run_leaves_everything_behind(config: Config, tmp_path: Path) -> None:
    run = start(config, tmp_path / "run")
    rows = read_metrics(run.metrics_file)
    assert [row["update"] for row in rows] == [1, 2, 3, 4]
    expected = {"reward", "success", "entropy", "kl_old", "clip_fraction", "drift/gap_mean"}
    expected |= {"invalid_actions", "zero_variance_groups", "tokens_per_second"}
    expected |= {f"seconds_{phase}" for phase in ("rollout", "credit", "learning", "sync")}
    assert expected <= rows[0].keys()
    assert rows[0]["drift/gap_mean"] < 1e-4
    assert run.config() == config
    assert "torch" in json.loads((run.path / "versions.json").read_text())
    episodes = storage.read(run.trajectory_file(1))
    assert len(episodes) == 16
    assert len({episode.group for episode in episodes}) == 4
    assert [path.name for path in list_checkpoints(run.checkpoints)] == [
        "step-000003",
        "step-000004",
    ]


def test_equal_seeds_give_equal_runs(config: Config, tree: dict[str, Any], tmp_path: Path) -> None:
    first, second = start(config, tmp_path / "a"), start(config, tmp_path / "b")
    other = start(changed(tree, seed=1), tmp_path / "c")
    assert figures(first) == figures(second)
    assert figures(first) != figures(other)


@pytest.mark.parametrize("credit", [["rloo"], ["dr_grpo"], ["reinforce_pp"], ["grpo", "whiten"]])
def test_every_credit_list_trains(credit: list[str], tree: dict[str, Any], tmp_path: Path) -> None:
    start(changed(tree, updates=1, credit=credit), tmp_path / "run")


@pytest.mark.parametrize("kl", ["loss", "reward"])
def test_kl_to_the_reference(kl: str, tree: dict[str, Any], tmp_path: Path) -> None:
    plain = figures(start(changed(tree), tmp_path / "plain"))
    held = changed(tree, learner={"kl": kl, "kl_coefficient": 5.0})
    rows = figures(start(held, tmp_path / kl))
    assert rows[0]["success"] == plain[0]["success"]
    assert rows[-1]["loss"] != plain[-1]["loss"]


def test_invalid_actions_cost(tree: dict[str, Any], tmp_path: Path) -> None:
    free = {"format": "plain", "restrict": False, "max_turn_tokens": 3}
    costly = {"rewards": [{"invalid_action": {"penalty": 0.5}}]}
    small = {"tasks": 4, "group_size": 4}
    run = start(changed(tree, updates=1, dialogue=free, rollout=small, **costly), tmp_path / "run")
    (row,) = figures(run)
    assert row["invalid_actions"] > 0.5
    assert row["reward"] < 0


def test_lora_trains(tree: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("peft")
    config = changed(tree, updates=2, policy={"lora_rank": 4})
    rows = figures(start(config, tmp_path / "run"))
    assert rows[-1]["drift/gap_mean"] < 1e-4


def test_a_held_out_split_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(HeldOutError, match=r"'test' .* held out .* train on: train"):
        build_parts(changed(tree, env={"split": "test"}))


def test_unknown_names_are_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="did you mean 'alfworld'"):
        build_parts(changed(tree, env={"name": "alfwrld"}))
    with pytest.raises(RegistryError, match="did you mean 'transformers'"):
        build_parts(changed(tree, engine={"name": "transformer"}))


def test_a_directory_holds_one_run(config: Config, tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "run", config)
    with pytest.raises(ConfigError, match="agentrl resume"):
        RunDirectory.create(tmp_path / "run", config)
    with pytest.raises(ConfigError, match="not a run directory"):
        RunDirectory.open(tmp_path)


def test_damaged_checkpoints_are_named(config: Config, tmp_path: Path) -> None:
    run = start(config, tmp_path / "run")
    for path in list_checkpoints(run.checkpoints):
        weights = path / "policy" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model.safetensors"):
        Trainer(config, run, build_parts(config))


@pytest.mark.parametrize("tasks", [3, 5])
def test_a_run_is_not_resumed_with_updates_of_another_size(
    tasks: int, tree: dict[str, Any], tmp_path: Path
) -> None:
    run = start(changed(tree, updates=1), tmp_path / "run")
    other = changed(tree, rollout={"tasks": tasks})
    with pytest.raises(ConfigError, match=rf"rollout.tasks is {tasks}, but .* begun with 4"):
        Trainer(other, run, build_parts(other))


def launch(path: Path, verb: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "agentrl", verb, *words]
    if verb == "train":
        command += ["--run", str(path)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_updates(path: Path, count: int) -> None:
    for _ in range(1200):
        if len(read_metrics(path / "metrics.jsonl")) >= count:
            return
        time.sleep(0.05)
    raise AssertionError("the run made no progress")


def test_killed_at_any_moment_a_run_goes_on_exactly(tree: dict[str, Any], tmp_path: Path) -> None:
    config = changed(tree, updates=6, checkpoint_every=2)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = launch(whole, "train", str(tmp_path / "config.yaml"))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    process = launch(broken, "train", str(tmp_path / "config.yaml"))
    for updates in (1, 3, 5):
        wait_for_updates(broken, updates)
        process.kill()
        process.communicate()
        process = launch(broken, "resume", str(broken))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert figures(RunDirectory.open(broken)) == figures(RunDirectory.open(whole))


def test_a_run_in_use_is_refused_untouched(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(config.model_copy(update={"updates": 1}), tmp_path / "run")
    run.config_file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    with run.alone():
        before = contents(run.path)
        assert main(["resume", str(run.path)]) == 2
        with pytest.raises(ConfigError, match="is in use by process"):
            train(config, run, build_parts(config))
        assert contents(run.path) == before
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: the run {run.path} is in use by process {os.getpid()} on ")
    assert said.endswith("; wait until it has ended, or end it")
    assert main(["resume", str(run.path)]) == 0
    assert [row["update"] for row in figures(run)] == [1, 2, 3, 4]


def test_the_quickstart_does_not_move_a_run_in_use(config: Config, tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", config)
    other = load_config(quickstart.CONFIG)
    with run.alone(), pytest.raises(ConfigError, match="is in use by process"):
        quickstart._open(run.path, other)
    assert run.config() == config
    quickstart._open(run.path, other)
    assert run.config() == other


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_not_resumed_while_it_is_trained(tree: dict[str, Any], tmp_path: Path) -> None:
    config = changed(tree, updates=100_000, checkpoint_every=1)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    path = tmp_path / "run"
    first = launch(path, "train", str(tmp_path / "config.yaml"))
    try:
        wait_for_updates(path, 2)
        second = launch(path, "resume", str(path))
        try:
            _, errors = second.communicate(timeout=60)
        finally:
            second.kill()
        assert second.returncode == 2
        assert f"is in use by process {first.pid} on " in errors
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 130
    assert balance(path / "ledger.jsonl").is_even
    done = [row["update"] for row in read_metrics(path / "metrics.jsonl")]
    assert done == list(range(1, len(done) + 1))


def test_ctrl_c_saves_and_says_how_to_go_on(tree: dict[str, Any], tmp_path: Path) -> None:
    config = changed(tree, updates=100_000, checkpoint_every=100_000)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    path = tmp_path / "run"
    process = launch(path, "train", str(tmp_path / "config.yaml"))
    wait_for_updates(path, 2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"agentrl resume {path}" in output
    assert "Traceback" not in errors
    done = len(read_metrics(path / "metrics.jsonl"))
    assert [p.name for p in list_checkpoints(path / "checkpoints")] == [f"step-{done:06d}"]
