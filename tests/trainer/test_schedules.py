"""Whole runs under each schedule, with the embedded engine on weights of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentrl import storage
from agentrl import trainer as trainer_module
from agentrl.batch import Batch
from agentrl.cli import main
from agentrl.config import build_config
from agentrl.engines.base import Completion, Request
from agentrl.errors import ConfigError
from agentrl.learner.checkpoint import list_checkpoints
from agentrl.monitor.metrics import read_metrics
from agentrl.parts import build_parts
from agentrl.run import RunDirectory
from agentrl.storage.ledger import balance
from agentrl.trainer import Trainer, train


def scheduled(tree: dict[str, Any], kind: str, **settings: Any) -> dict[str, Any]:
    # One episode at a time in flight per task, so that some are in flight when weights change.
    small = {"tasks": 4, "group_size": 4, "concurrency": 6}
    return {**tree, "schedule": {"kind": kind, **settings}, "rollout": small, "updates": 6}


def run(tree: dict[str, Any], path: Path) -> RunDirectory:
    config = build_config(tree, "test")
    directory = RunDirectory.create(path, config)
    assert train(config, directory, build_parts(config, path))
    return directory


@pytest.mark.parametrize(
    ("kind", "most"), [("sync", [0] * 6), ("one_step_off", [0, 1, 1, 1, 1, 1])]
)
def test_every_update_is_as_stale_as_its_schedule_says(
    kind: str, most: list[int], tree: dict[str, Any], tmp_path: Path
) -> None:
    directory = run(scheduled(tree, kind), tmp_path / "run")
    rows = read_metrics(directory.metrics_file)
    assert [row["staleness/max"] for row in rows] == most
    assert [row["staleness/mean"] for row in rows] == most
    found = balance(directory.ledger_file)
    assert found.is_even
    assert found.fates == {"trained": 6 * 16}


def test_asynchronous_training(tree: dict[str, Any], tmp_path: Path) -> None:
    directory = run(scheduled(tree, "async", max_staleness=2), tmp_path / "run")
    rows = read_metrics(directory.metrics_file)
    stalest = [row["staleness/max"] for row in rows]
    assert max(stalest) <= 2
    assert max(stalest) > 0
    # The engine's own weights are the learner's of its version: only policy lag moves the gap.
    gaps = [row["drift/gap_mean"] for row in rows if "drift/gap_mean" in row]
    assert gaps[0] < 1e-4
    assert max(gaps) > 1e-4
    assert all(row.get("drift/fresh_gap_mean", 0) < 1e-4 for row in rows)
    found = balance(directory.ledger_file)
    assert found.is_even
    assert found.fates["trained"] == 6 * 16
    episodes = [t for u in range(1, 7) for t in storage.read(directory.trajectory_file(u))]
    assert len({t.id for t in episodes}) == 6 * 16


def test_one_step_off_with_equal_seeds_gives_equal_runs(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    first = run(scheduled(tree, "one_step_off"), tmp_path / "a")
    second = run(scheduled(tree, "one_step_off"), tmp_path / "b")
    for name in ("success", "loss", "entropy"):
        rows = [[r[name] for r in read_metrics(d.metrics_file)] for d in (first, second)]
        assert rows[0] == pytest.approx(rows[1], rel=1e-4)


def test_the_engine_rests_while_the_policy_is_trained(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = build_config(scheduled(tree, "sync", share_device=True), "test")
    parts = build_parts(config)
    calls: list[str] = []
    engine, learner = parts.engine, parts.learner
    for owner, name in ((engine, "pause"), (engine, "load_weights"), (engine, "resume")):
        original = getattr(owner, name)

        async def told(*args: Any, name: str = name, original: Any = original) -> None:
            calls.append(name)
            await original(*args)

        monkeypatch.setattr(owner, name, told)
    update = learner.update

    def learn(*args: Any, **named: Any) -> Any:
        calls.append("update")
        return update(*args, **named)

    monkeypatch.setattr(learner, "update", learn)
    directory = RunDirectory.create(tmp_path / "run", config)
    assert train(config, directory, parts)
    cycle = ["pause", "update", "load_weights", "resume"]
    assert calls == ["load_weights", "resume", *cycle * 6]


def test_a_device_cannot_be_shared_all_the_time(tree: dict[str, Any]) -> None:
    config = build_config(scheduled(tree, "async", share_device=True), "test")
    with pytest.raises(ConfigError, match="share_device needs"):
        build_parts(config)


def test_episodes_go_on_while_a_checkpoint_is_written(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    seen: list[bool] = []
    write = trainer_module.save_checkpoint

    def slowly(*given: Any, **named: Any) -> Any:
        # The first takes long, as that of a large policy does. Late ones find nothing left to play.
        before, until = len(begun), time.monotonic() + 20
        while not seen and len(begun) == before and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(len(begun) > before)
        return write(*given, **named)

    settings = {**scheduled(tree, "async"), "checkpoint_every": 2, "updates": 10}
    config = build_config(settings, "test")
    directory = RunDirectory.create(tmp_path / "run", config)
    parts = build_parts(config, tmp_path / "run")
    generate = parts.engine.generate

    async def counted(request: Request) -> Completion:
        begun.append(1)
        return await generate(request)

    monkeypatch.setattr(parts.engine, "generate", counted)
    monkeypatch.setattr(trainer_module, "save_checkpoint", slowly)
    assert train(config, directory, parts)
    assert len(seen) == 5
    assert seen[0], "no episode made a turn while the checkpoint was written"
    assert balance(directory.ledger_file).is_even


def test_an_interruption_right_after_an_update_does_not_undo_it(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = build_config(scheduled(tree, "async"), "test")
    directory = RunDirectory.create(tmp_path / "run", config)

    async def stop_at_three() -> bool:
        trainer = Trainer(config, directory, build_parts(config))
        write = trainer.ledger.trained

        def trained(update: int, batch: Batch) -> None:
            write(update, batch)
            if update == 3:
                # Before the loop's next task has taken its first step.
                asyncio.get_running_loop().call_soon(trainer._interrupt)

        monkeypatch.setattr(trainer.ledger, "trained", trained)
        try:
            return await trainer.fit()
        finally:
            await trainer.close()

    assert asyncio.run(stop_at_three()) is False
    assert train(config, directory, build_parts(config))
    found = balance(directory.ledger_file)
    assert found.is_even, found.problems
    assert found.fates["trained"] == 6 * 16


def test_an_interruption_while_learning_does_not_wait_for_episodes_in_flight(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = build_config(scheduled(tree, "one_step_off"), "test")
    directory = RunDirectory.create(tmp_path / "run", config)

    async def stop_at_one() -> bool:
        trainer = Trainer(config, directory, build_parts(config))
        loop = asyncio.get_running_loop()
        generate, learn = trainer.parts.engine.generate, trainer._learn

        async def stuck_from_the_second(request: Request) -> Completion:
            if not request.session.startswith("000001/"):
                await asyncio.sleep(3600)
            return await generate(request)

        def interrupted(*arguments: Any) -> Any:
            loop.call_soon_threadsafe(trainer._interrupt)
            return learn(*arguments)

        monkeypatch.setattr(trainer.parts.engine, "generate", stuck_from_the_second)
        monkeypatch.setattr(trainer, "_learn", interrupted)
        fit = asyncio.create_task(trainer.fit())
        try:
            # Cancelling, as asyncio.timeout does, would end the very wait that must not be there.
            await asyncio.wait({fit}, timeout=20)
            assert fit.done()
            return await fit
        finally:
            fit.cancel()
            await trainer.close()

    assert asyncio.run(stop_at_one()) is False
    assert [path.name for path in list_checkpoints(directory.checkpoints)] == ["step-000001"]
    assert [row["update"] for row in read_metrics(directory.metrics_file)] == [1]


def test_a_killed_run_ends_with_a_ledger_that_adds_up(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = {**scheduled(tree, "async"), "checkpoint_every": 2, "updates": 8}
    config = build_config(tree, "test")
    file, path = tmp_path / "config.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    process = launch("train", str(file), "--run", str(path))
    for updates, number in ((3, signal.SIGKILL), (5, signal.SIGINT)):
        wait_for_updates(path, updates)
        process.send_signal(number)
        process.communicate(timeout=60)
        process = launch("resume", str(path))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert [row["update"] for row in read_metrics(path / "metrics.jsonl")] == list(range(1, 9))
    found = balance(path / "ledger.jsonl")
    assert found.is_even, found.problems
    assert found.fates["trained"] == 8 * 16
    assert found.processes == 3
    assert "in flight" not in found.fates
    assert main(["ledger", str(path)]) == 0
    assert "the ledger is even" in capsys.readouterr().out


def launch(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "agentrl", *words],
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
