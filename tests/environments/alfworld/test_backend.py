"""The original engine as a backend of the same environment."""

from __future__ import annotations

import gc
import importlib.util
import json
import random
import sys

import pytest

from agentrl.environments.alfworld import AlfWorld, original
from agentrl.errors import ConfigError, MissingExtraError, TaskError
from agentrl.rollout.environments import EnvSpec, needs_workers
from agentrl.rollout.worker_pool import WorkerPool


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """Only what the packages bring."""
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path))


@pytest.mark.parametrize("expert", ["search", "planner"])
def test_it_plays_as_the_native_one(no_data, expert):
    """Every observation and all of info agree; state keys tell the same situations apart."""
    options = {"difficulty": 3, "expert": expert}
    envs = [AlfWorld(**options), AlfWorld(**options, backend="textworld")]
    rng, keys = random.Random(0), set()
    results = [env.reset(seed=1, options={"task": "test/4"}) for env in envs]
    for _ in range(14):
        keys.add(tuple(info.pop("state_key") for *_, info in results))
        assert results[0] == results[1]
        *_, info = results[0]
        if info["success"]:
            break
        guesses = [*info["admissible_actions"], "look", "fly", f" {info['expert_action']}"]
        guesses.remove("help")
        action = info["expert_action"] if rng.random() < 0.6 else rng.choice(guesses)
        results = [env.step(action) for env in envs]
    assert len(keys) == len({ours for ours, _ in keys}) == len({theirs for _, theirs in keys})
    envs[1].close()


def test_it_asks_for_worker_processes():
    assert needs_workers(EnvSpec("alfworld", {"backend": "textworld"}))
    assert not needs_workers(EnvSpec("alfworld", {"backend": "native"}))
    assert not needs_workers(EnvSpec("alfworld"))


async def test_it_plays_in_a_worker_process(no_data):
    spec = EnvSpec("alfworld", {"backend": "textworld", "difficulty": 1})
    pool = WorkerPool(spec, 1, 120.0)
    try:
        worker = await pool.acquire()
        observation, info = await worker.reset("test/0", 0)
        assert observation.startswith("You are in the middle of a room.")
        action = info["admissible_actions"][-1]
        _, _, _, _, info = await worker.step(action)
        assert not info["invalid"]
        pool.release(worker)
    finally:
        await pool.close()


def test_it_cannot_take_snapshots(no_data):
    env = AlfWorld(backend="textworld", difficulty=1)
    env.reset(options={"task": "test/0"})
    with pytest.raises(NotImplementedError, match="cannot take snapshots; use backend='native'"):
        env.snapshot()


def test_one_engine_serves_one_environment_after_the_other(no_data):
    """Each engine maps a library that is never unmapped."""
    first = AlfWorld(backend="textworld", difficulty=1)
    first.reset(options={"task": "test/0"})
    engine = first.player._engine
    first.close()
    first.close()
    second = AlfWorld(backend="textworld", difficulty=1)
    second.reset(options={"task": "test/1"})
    is_same = second.player._engine is engine
    assert is_same
    # Even one that is forgotten, not closed, hands its engine back; the engine's parser holds the
    # frames that called it until somebody parses again.
    del first, second
    third = AlfWorld(backend="textworld", difficulty=1)
    third.reset(options={"task": "test/1"})
    assert third.player._engine is not engine
    gc.collect()
    assert engine in original._idle
    third.close()


def test_the_process_stays_as_it_was(no_data, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", "--flag"])
    output = sys.stdout
    env = AlfWorld(backend="textworld", difficulty=1)
    env.reset(options={"task": "test/0"})
    env.step("look")
    env.close()
    assert sys.argv == ["program", "--flag"]
    assert sys.stdout is output
    assert capsys.readouterr().out == ""


def test_what_is_missing_is_told(tmp_path, official_rows, monkeypatch):
    with pytest.raises(ConfigError, match="backend 'textwrold'; did you mean 'textworld'"):
        AlfWorld(backend="textwrold")
    (tmp_path / "valid_unseen.jsonl").write_bytes(b"")
    row = next(official_rows("valid_seen"))
    (tmp_path / "valid_unseen.jsonl").write_text(json.dumps(row) + "\n")
    env = AlfWorld(source="official", split="valid_unseen", data=tmp_path, backend="textworld")
    with pytest.raises(TaskError, match=r"needs domain\.pddl and grammar\.twl2 .*backend='native'"):
        env.reset()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "textworld" else find(name)
    )
    with pytest.raises(MissingExtraError, match=r"'textworld', .*agentrl-framework\[alfworld\]"):
        AlfWorld(backend="textworld")
