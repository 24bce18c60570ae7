"""The ledger: what runs write into it adds up, and what must not be is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.errors import DataError
from agentrl.storage.ledger import Ledger, balance
from agentrl.trajectory import Outcome, Trajectory, Turn


def episode(name: str, outcome: Outcome = Outcome.SUCCESS, token: int = 7) -> Trajectory:
    turn = Turn(
        "",
        "",
        prompt_ids=np.array([1, 2], np.int32),
        response_ids=np.array([token], np.int32),
        logprobs=np.zeros(1, np.float32),
    )
    return Trajectory(name, name.partition("/")[0], "t", [turn, turn], outcome)


def play(ledger: Ledger, *names: str, outcome: Outcome = Outcome.SUCCESS) -> list[Trajectory]:
    for name in names:
        ledger.begun(name)
    episodes = [episode(name, outcome) for name in names]
    for played in episodes:
        ledger.ended(played)
    return episodes


def train(ledger: Ledger, update: int, *names: str) -> None:
    ledger.trained(update, Batch.from_trajectories(play(ledger, *names)))


def test_every_episode_has_one_fate(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = Ledger(path, update=0)
    train(first, 1, "a/0", "a/1")
    play(first, "b/0", outcome=Outcome.TIMEOUT)
    train(first, 2, "b/1")
    train(first, 3, "c/0")
    first.begun("d/0")
    first.begun("d/0")
    # The process is killed, amid a line; the next one goes on from the checkpoint of update 2.
    with path.open("a") as file:
        file.write('{"event": "beg')
    second = Ledger(path, update=2)
    train(second, 3, "c/0")
    second.begun("d/0")
    running = balance(path)
    assert running.fates == {"trained": 4, "lost": 1, "undone": 1, "dropped": 1, "in flight": 1}
    second.close()
    found = balance(path)
    assert found.is_even
    assert found.fates == {"trained": 4, "lost": 1, "undone": 1, "dropped": 2}
    assert (found.updates, found.processes, found.begun, found.repeated) == (3, 2, 8, 1)


def test_an_episode_trained_on_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, update=0)
    batch = Batch.from_trajectories(play(ledger, "a/0"))
    ledger.trained(1, batch)
    ledger.trained(2, batch)
    ledger.close()
    found = balance(path)
    assert not found.is_even
    assert "a/0 was trained on in updates 1 and 2" in found.problems


@pytest.mark.parametrize(
    ("trained", "problem"),
    [
        (episode("b/0"), "never begun"),
        (episode("a/1"), "has not ended"),
        (episode("a/2"), "has not ended with a score"),
        (episode("a/0", token=8), "other tokens"),
    ],
)
def test_what_cannot_be_is_told(trained: Trajectory, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, update=0)
    play(ledger, "a/0")
    ledger.begun("a/1")
    play(ledger, "a/2", outcome=Outcome.ENV_ERROR)
    ledger.trained(1, Batch.from_trajectories([trained]))
    ledger.close()
    (said,) = balance(path).problems
    assert problem in said


def test_a_missing_update_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, update=0)
    train(ledger, 2, "a/0")
    ledger.close()
    assert any("without a gap" in problem for problem in balance(path).problems)


@pytest.mark.parametrize(
    ("start", "updates", "problem"),
    [
        (0, (1, 1), "update 1 was trained where 2 was due"),
        (0, (2, 1), "update 2 was trained where 1 was due"),
        (1, (1, 2), "by a process that went on from update 1"),
    ],
)
def test_updates_out_of_turn_are_told(
    start: int, updates: tuple[int, ...], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, update=0)
    for update in range(1, start + 1):
        train(ledger, update, f"before/{update}")
    if start:
        ledger.close()
        ledger = Ledger(path, update=start)
    for place, update in enumerate(updates):
        train(ledger, update, f"a/{place}")
    ledger.close()
    found = balance(path)
    assert not found.is_even
    assert any(problem in said for said in found.problems)


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(DataError, match="cannot read the ledger"):
        balance(path)
    Ledger(path, update=0).close()
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(DataError, match="line 3 is damaged"):
        balance(path)
