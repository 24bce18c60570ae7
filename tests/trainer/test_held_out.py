from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentrl.cli import main
from agentrl.config import build_config
from agentrl.errors import TaskError
from agentrl.evaluation.held_out import HeldOut
from agentrl.evaluation.offline import evaluate_target
from agentrl.evaluation.target import find_run
from agentrl.monitor.metrics import read_metrics
from agentrl.parts import build_parts
from agentrl.run import RunDirectory
from agentrl.trainer import Trainer, train


@pytest.fixture
def tree(tree: dict[str, Any]) -> dict[str, Any]:
    return {**tree, "evaluation": {"tasks": 8, "every": 3}}


def start(tree: dict[str, Any], path: Path) -> RunDirectory:
    config = build_config(tree, "test")
    run = RunDirectory.create(path, config)
    assert train(config, run, build_parts(config))
    return run


def points(run: RunDirectory) -> list[dict[str, Any]]:
    return read_metrics(run.held_out_file)


def test_the_policy_is_measured_before_while_and_after(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    run = start(tree, tmp_path / "run")
    assert [point["update"] for point in points(run)] == [0, 3, 4]
    assert all(0 <= p["low"] <= p["success"] <= p["high"] <= 1 for p in points(run))
    assert points(run)[0]["episodes"] == 8
    assert [row["update"] for row in read_metrics(run.metrics_file)] == [1, 2, 3, 4]


def test_measuring_changes_nothing_in_training(tree: dict[str, Any], tmp_path: Path) -> None:
    measured = start(tree, tmp_path / "measured")
    plain = start({**tree, "evaluation": {"tasks": 8}}, tmp_path / "plain")
    assert points(plain) == []
    losses = [[row["loss"] for row in read_metrics(r.metrics_file)] for r in (measured, plain)]
    assert losses[0] == losses[1]


def test_evaluating_the_run_afterwards_gives_the_same_without_playing(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    run = start(tree, tmp_path / "run")
    for step, point in (("base", points(run)[0]), ("4", points(run)[-1])):
        report = evaluate_target(find_run(run.path, step=step))
        assert report.resumed == report.scored == 8
        assert report.success.value == point["success"]
    # And played again from the files, the figures are those that the live policy had.
    for file in run.evaluations.glob("*step-000004*"):
        file.unlink()
    again = evaluate_target(find_run(run.path, step="4"))
    assert again.resumed == 0
    assert again.success.value == points(run)[-1]["success"]


def test_a_run_stopped_while_measuring_goes_on_there(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = start(tree, tmp_path / "whole")
    config = build_config(tree, "test")
    run = RunDirectory.create(tmp_path / "stopped", config)

    async def stop_at_three() -> bool:
        trainer = Trainer(config, run, build_parts(config))
        held_out = trainer.held_out
        assert held_out is not None
        play = held_out.play

        async def interrupted(update: int, *arguments: Any) -> Any:
            if update == 3:
                asyncio.get_running_loop().call_soon(trainer._interrupt)
                await asyncio.sleep(60)
            return await play(update, *arguments)

        monkeypatch.setattr(held_out, "play", interrupted)
        try:
            await trainer.parts.sync(0)
            return await trainer.fit()
        finally:
            await trainer.close()

    assert asyncio.run(stop_at_three()) is False
    assert [point["update"] for point in points(run)] == [0]
    assert train(config, run, build_parts(config))
    assert points(run) == points(whole)


def test_results_of_an_undone_update_are_not_those_of_the_next_policy_of_that_number(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = build_config({**tree, "checkpoint_every": 100}, "test")
    run = RunDirectory.create(tmp_path / "run", config)
    parts = build_parts(config)
    update = parts.learner.update

    def dies_in_the_fourth(*arguments: Any, **named: Any) -> Any:
        if named["version"] == 3:
            raise RuntimeError("as good as killed: nothing is saved")
        return update(*arguments, **named)

    monkeypatch.setattr(parts.learner, "update", dies_in_the_fourth)
    with pytest.raises(RuntimeError, match="as good as killed"):
        train(config, run, parts)
    (undone,) = run.evaluations.glob("*step-000003*")
    # All lost: had they stayed, every game would count as played by the next policy.
    lines = undone.read_text().replace('"outcome":"success"', '"outcome":"failure"')
    undone.write_text(lines)
    assert train(config, run, build_parts(config))
    whole = start(tree, tmp_path / "whole")
    assert points(whole)[1]["success"] > 0
    assert points(run) == points(whole)
    assert len(list(run.evaluations.glob("*-base-*"))) == 1


def test_a_wrong_split_is_known_before_the_first_update(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    config = build_config({**tree, "evaluation": {"split": "tset", "every": 1}}, "test")
    with pytest.raises(TaskError, match="test"):
        HeldOut(config, tmp_path)


def test_the_command_draws_the_curve(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**tree, "updates": 2}))
    assert main(["train", str(file), "--run", str(tmp_path / "run")]) == 0
    assert "learning curve: " in capsys.readouterr().out
    assert (tmp_path / "run" / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
