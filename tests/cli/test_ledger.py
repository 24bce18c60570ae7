from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.config import build_config
from agentrl.run import RunDirectory
from agentrl.storage.ledger import Ledger
from agentrl.trajectory import Outcome, Trajectory, Turn


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    """A run of one update with two episodes, and one more that is in flight."""
    found = RunDirectory.create(tmp_path / "run", build_config({}, "test"))
    ledger = Ledger(found.ledger_file, update=0)
    ids = np.array([1], np.int32)
    turn = Turn("", "", prompt_ids=ids, response_ids=ids, logprobs=np.zeros(1, np.float32))
    episodes = [Trajectory(f"a/{i}", "a", "t", [turn], Outcome.SUCCESS) for i in range(2)]
    for episode in episodes:
        ledger.begun(episode.id)
        ledger.ended(episode)
    ledger.trained(1, Batch.from_trajectories(episodes))
    ledger.begun("b/0")
    return found


def test_a_ledger_that_is_even(directory: RunDirectory, run) -> None:
    code, out, _ = run("ledger", str(directory.path))
    assert code == 0
    rows = [line.split()[:3] for line in out.splitlines()]
    assert ["trained", "2", "in"] in rows
    assert ["in", "flight", "1"] in rows
    assert "1 updates by 1 processes; 0 attempts were repeats" in out
    assert out.rstrip().endswith("the ledger is even")
    code, out, _ = run("ledger", str(directory.path), "--json")
    assert code == 0
    found = json.loads(out)
    assert found["is_even"] is True
    assert found["fates"]["trained"] == 2


def test_a_ledger_that_is_not(directory: RunDirectory, run) -> None:
    lines = directory.ledger_file.read_text().splitlines()
    trained = next(line for line in lines if json.loads(line)["event"] == "trained")
    twice = {**json.loads(trained), "update": 2}
    with directory.ledger_file.open("a") as file:
        file.write(json.dumps(twice) + "\n")
    code, out, _ = run("ledger", str(directory.path))
    assert code == 1
    assert "PROBLEM: a/0 was trained on in updates 1 and 2" in out
    assert "the ledger is NOT even" in out
    code, out, _ = run("ledger", str(directory.path), "--json")
    assert code == 1
    assert json.loads(out)["is_even"] is False


def test_no_run(tmp_path: Path, run) -> None:
    code, _, err = run("ledger", str(tmp_path))
    assert code == 2
    assert "is not a run directory" in err
