from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentrl import registry
from agentrl.config import RolloutConfig
from agentrl.errors import ConfigError, EnvironmentFault
from agentrl.evaluation.conditions import Conditions
from agentrl.evaluation.evaluate import Progress, evaluate
from agentrl.evaluation.panel import Panel
from agentrl.evaluation.report import Report, pass_counts
from agentrl.evaluation.results import read_results

ONE_AT_A_TIME = RolloutConfig(concurrency=1, retries=1)


@pytest.fixture
def conditions(game: str) -> Conditions:
    return Conditions(environment=game, split="test", policy="base", seed=5)


@pytest.fixture
def panel(game: str) -> Panel:
    return Panel.first(game, registry.make(game).tasks, "test", 8)


@pytest.fixture
def play(
    tmp_path: Path, dialogues: Any, conditions: Conditions, panel: Panel
) -> Callable[..., Any]:
    async def run(engine: Any, **changed: Any) -> Report:
        settings: dict[str, Any] = {
            "conditions": conditions,
            "panel": panel,
            "results_path": tmp_path / "r.jsonl",
            "attempts": 3,
            "rollout": ONE_AT_A_TIME,
        } | changed
        return await evaluate(
            settings.pop("conditions"), engine, dialogues, settings.pop("panel"), **settings
        )

    return run


async def test_a_whole_evaluation(play: Callable[..., Any], guesser: Any) -> None:
    steps: list[Progress] = []
    report = await play(guesser(0.5), on_progress=steps.append)
    assert (report.tasks, report.attempts, report.scored) == (8, 3, 24)
    assert 0 < report.success.low < report.success.value < report.success.high < 1
    assert report.score == report.success
    assert list(report.pass_at) == [1, 2, 3]
    assert report.pass_at[1].value == pytest.approx(report.success.value)
    assert report.pass_at[1].value < report.pass_at[2].value < report.pass_at[3].value
    assert sum(report.outcomes.values()) == 24
    assert report.outcomes["success"] == round(24 * report.success.value)
    assert (report.missing, report.faults, report.resumed) == ([], {}, 0)
    assert 1 <= report.turns <= 3
    assert report.metrics == {"turns_left": pytest.approx(3 - report.turns)}
    assert report.as_dict()["metrics"] == report.metrics
    assert [s.done for s in steps] == list(range(1, 25))
    assert (steps[-1].total, steps[-1].solved) == (24, report.outcomes["success"])
    assert report.as_dict()["success"]["value"] == report.success.value


async def test_results_come_task_by_task(
    play: Callable[..., Any], guesser: Any, tmp_path: Path
) -> None:
    await play(guesser())
    order = [(a.task, a.attempt) for a in read_results(tmp_path / "r.jsonl").attempts]
    assert order == [(f"test/{t}", n) for t in range(8) for n in range(3)]


async def test_attempts_differ_and_evaluations_repeat(
    play: Callable[..., Any], guesser: Any, tmp_path: Path, conditions: Conditions
) -> None:
    first = await play(guesser())
    again = await play(guesser(), results_path=tmp_path / "again.jsonl")
    assert replace(first, seconds=0, results=None) == replace(again, seconds=0, results=None)
    solved = {a.outcome for a in read_results(tmp_path / "r.jsonl").attempts}
    assert len(solved) > 1
    other = Conditions(environment=conditions.environment, split="test", policy="base", seed=6)
    moved = await play(guesser(), conditions=other, results_path=tmp_path / "other.jsonl")
    keys = read_results(tmp_path / "r.jsonl").final()
    seeds = read_results(tmp_path / "other.jsonl").final()
    assert any(keys[k].outcome != seeds[k].outcome for k in keys)
    assert moved.scored == 24


@pytest.mark.parametrize("stop_after", [1, 7, 23])
async def test_a_stopped_evaluation_goes_on_where_it_was(
    play: Callable[..., Any], guesser: Any, tmp_path: Path, stop_after: int
) -> None:
    whole = await play(guesser(), results_path=tmp_path / "whole.jsonl")

    def stop(progress: Progress) -> None:
        if progress.done == stop_after:
            raise KeyboardInterrupt

    engine = guesser()
    with pytest.raises(KeyboardInterrupt):
        await play(engine, on_progress=stop)
    assert len(read_results(tmp_path / "r.jsonl").attempts) == stop_after
    engine.sessions.clear()
    resumed = await play(engine)
    assert len(engine.sessions) == 24 - stop_after
    assert resumed.resumed == stop_after
    assert resumed.success == whole.success
    assert resumed.pass_at == whole.pass_at
    attempts = read_results(tmp_path / "r.jsonl").attempts
    assert len(attempts) == len({(a.task, a.attempt) for a in attempts}) == 24
    engine.sessions.clear()
    assert (await play(engine)).resumed == 24
    assert engine.sessions == []


async def test_a_cancelled_evaluation_keeps_its_attempts(
    play: Callable[..., Any], guesser: Any, tmp_path: Path
) -> None:
    running = asyncio.ensure_future(
        play(guesser(), on_progress=lambda p: running.cancel() if p.done == 5 else None)
    )
    with pytest.raises(asyncio.CancelledError):
        await running
    assert 5 <= len(read_results(tmp_path / "r.jsonl").attempts) < 24
    assert (await play(guesser())).scored == 24


async def test_more_attempts_and_more_tasks_go_on_too(
    play: Callable[..., Any], guesser: Any, panel: Panel
) -> None:
    few = Panel(panel.environment, "test", dict(list(panel.fingerprints.items())[:4]))
    assert (await play(guesser(), panel=few, attempts=1)).scored == 4
    report = await play(guesser(), attempts=2)
    assert (report.scored, report.resumed) == (16, 4)
    narrow = await play(guesser(), panel=few, attempts=1)
    assert (narrow.tasks, narrow.scored) == (4, 4)


async def test_failures_of_infrastructure_are_missing_and_not_failures(
    play: Callable[..., Any], guesser: Any, conditions: Conditions
) -> None:
    broken = Conditions(
        environment=conditions.environment,
        split="test",
        policy="base",
        options={"broken": ["test/2"]},
        seed=5,
    )
    engine = guesser(1.0)
    report = await play(engine, conditions=broken)
    assert report.success.value == 1.0
    assert report.scored == 21
    assert {(m.task, m.attempt) for m in report.missing} == {("test/2", n) for n in range(3)}
    assert "the server is down" in report.missing[0].error
    assert report.outcomes == {"success": 21, "env_error": 3}
    assert report.faults["env_error"] >= 3
    engine.sessions.clear()
    again = await play(engine, conditions=broken)
    assert engine.sessions == []  # the environment still breaks before anyone is asked
    assert len(again.missing) == 3
    assert again.resumed == 21


async def test_nothing_but_failures_is_an_error(
    play: Callable[..., Any], guesser: Any, conditions: Conditions, panel: Panel
) -> None:
    broken = Conditions(
        environment=conditions.environment,
        split="test",
        policy="base",
        options={"broken": list(panel.fingerprints)},
    )
    with pytest.raises(EnvironmentFault, match=r"all 24 attempts were lost.*the server is down"):
        await play(guesser(), conditions=broken)


async def test_prompts_that_never_fit_are_an_error(
    play: Callable[..., Any], guesser: Any, dialogues: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogues, "prompt", lambda self: None)
    with pytest.raises(ConfigError, match="too long for the context"):
        await play(guesser())


async def test_no_attempts_and_no_such_option(
    play: Callable[..., Any], guesser: Any, conditions: Conditions
) -> None:
    with pytest.raises(ConfigError, match="at least 1 attempt"):
        await play(guesser(), attempts=0)
    wrong = Conditions(
        environment=conditions.environment, split="test", policy="base", options={"size": 3}
    )
    with pytest.raises(ConfigError, match="size"):
        await play(guesser(), conditions=wrong)


async def test_a_task_whose_content_changed_is_played_again(
    play: Callable[..., Any], guesser: Any, tmp_path: Path, panel: Panel
) -> None:
    won = await play(guesser(1.0))
    assert (won.success.value, won.scored) == (1.0, 24)
    changed = Panel(panel.environment, "test", {**panel.fingerprints, "test/2": "0" * 16})
    engine = guesser(0.0)
    report = await play(engine, panel=changed)
    assert len(engine.sessions) == 3
    assert all("test/2" in session for session in engine.sessions)
    assert (report.panel, report.resumed, report.scored) == (changed.name, 21, 24)
    assert report.success.value == pytest.approx(7 / 8)
    assert len(read_results(tmp_path / "r.jsonl").attempts) == 27
    # Where the old task is back, so are its scores.
    engine.sessions.clear()
    assert (await play(engine)).success.value == 1.0
    assert engine.sessions == []


async def test_the_conditions_say_how_many_invalid_actions_are_too_many(
    play: Callable[..., Any], guesser: Any, conditions: Conditions, tmp_path: Path
) -> None:
    class Hopper(guesser):
        async def generate(self, request: Any) -> Any:
            said = await super().generate(request)
            said.token_ids[:1] = ord("h")
            return said

    report = await play(Hopper(0.0))
    assert report.outcomes == {"truncated_turns": 24}
    limited = msgspec.structs.replace(conditions, max_invalid_actions=2)
    report = await play(Hopper(0.0), conditions=limited, results_path=tmp_path / "limited.jsonl")
    assert report.outcomes == {"invalid_action_limit": 24}
    assert report.turns == 2


@pytest.mark.parametrize(
    ("attempts", "counts"),
    [(1, []), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (5, [1, 2, 4, 5])],
)
def test_which_pass_at_k_are_told(attempts: int, counts: list[int]) -> None:
    assert pass_counts(attempts) == counts
