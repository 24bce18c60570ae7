from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from agentrl.credit import CreditRecord, Stored, credit_records, explain, read_credit, write_credit
from agentrl.credit.records import encode_credit, stored_records
from agentrl.errors import DataError
from agentrl.trajectory import Outcome, Trajectory, Turn


def episode(group: str, name: str, outcome: Outcome, actions: str) -> Trajectory:
    turns = [Turn("seen", action) for action in actions]
    if outcome is Outcome.SUCCESS and turns:
        turns[-1].reward = 1.0
    return Trajectory(name, group, "task", turns, outcome, final_observation="seen")


EPISODES = [
    episode("g", "0", Outcome.SUCCESS, "abc"),
    episode("h", "1", Outcome.SUCCESS, "a"),
    episode("g", "2", Outcome.CANCELLED, "ab"),
    episode("g", "3", Outcome.FAILURE, "ab"),
    episode("h", "4", Outcome.FAILURE, ""),
]


@pytest.fixture(scope="module")
def stored() -> Stored:
    return Stored.from_trajectories(EPISODES)


@pytest.mark.parametrize("name", ["update-000001.jsonl", "update-000001.jsonl.zst"])
def test_records_come_back_as_they_were(tmp_path: Path, stored: Stored, name: str) -> None:
    explained = explain(stored.batch, ["grpo", "salt"])
    records = credit_records(stored.batch, explained)
    assert [(r.group, r.id) for r in records] == [("g", "0"), ("g", "3"), ("h", "1"), ("h", "4")]
    path = tmp_path / "credit" / name
    write_credit(path, records)
    assert read_credit(path) == records
    data = path.read_bytes()
    lines = (zstandard.decompress(data) if name.endswith(".zst") else data).splitlines()
    trees = [json.loads(line) for line in lines]
    assert all(list(tree) == ["group", "id", "advantages", "why"] for tree in trees)
    assert [v for tree in trees for v in tree["advantages"]] == explained.per_turn.tolist()
    assert [records for tree in trees for records in tree["why"]] == explained.why


def test_one_line_per_trajectory_in_the_order_of_the_file(stored: Stored) -> None:
    records = stored_records(stored, explain(stored.batch, "grpo"))
    assert [record.id for record in records] == ["0", "1", "2", "3", "4"]
    left = json.loads(encode_credit(records[2]))
    assert left == {"group": "g", "id": "2", "advantages": None, "why": [], "left_out": "cancelled"}
    assert json.loads(encode_credit(records[4]))["advantages"] == []
    assert records[3].advantages == pytest.approx([-0.7071058, -0.7071058])


@pytest.mark.parametrize(
    ("because", "written"),
    [
        ({"text": "a \ud800 b"}, {"text": "a \ud800 b"}),
        ({"figure": float("nan")}, {"figure": None}),
        ({"figure": np.float32(0.5)}, {"figure": 0.5}),
        ({"figures": np.arange(2)}, {"figures": [0, 1]}),
        ({"large": 2**70}, {"large": 2**70}),
    ],
)
def test_what_methods_of_ones_own_may_say(tmp_path: Path, because: Any, written: Any) -> None:
    record = CreditRecord("g", "0", [1.0], [[{"method": "mine", "value": 1, "because": because}]])
    path = tmp_path / "credit.jsonl.zst"
    write_credit(path, [record])
    assert read_credit(path)[0].why[0][0]["because"] == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", r"line 1: not a record of credit: .*`group`"),
        ("{", "line 1 is not JSON"),
        ('{"group": "g", "id": "0", "advantages": 3, "why": []}', "not a record of credit"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "credit.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_credit(path)


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_credit(tmp_path / "file" / "credit.jsonl", [])
