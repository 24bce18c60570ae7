from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import SUFFIXES, example

from agentrl import storage
from agentrl.batch import Batch
from agentrl.errors import DataError
from agentrl.storage.record import decode, encode
from agentrl.trajectory import Allowed, Outcome, Trajectory, Turn

int32 = st.integers(-(2**31), 2**31 - 1)
numbers = st.floats(width=64)
# A high surrogate before a low one is one character to JSON; a text may hold either alone.
text = st.text(st.characters(exclude_categories=[]) | st.just("\udc80"), max_size=12).filter(
    lambda s: not any("\ud800" <= a < "\udc00" <= b < "\ue000" for a, b in pairwise(s))
)


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    response = draw(st.lists(int32, max_size=4))
    bits = draw(st.lists(st.integers(0, 2**32 - 1), min_size=len(response), max_size=len(response)))
    allowed = None
    if draw(st.booleans()):
        counts = draw(st.lists(st.integers(0, 3), min_size=len(response), max_size=len(response)))
        ids = draw(st.lists(int32, min_size=sum(counts), max_size=sum(counts)))
        allowed = Allowed(np.array(ids, np.int32), np.array(counts, np.int32))
    return Turn(
        observation=draw(text),
        action=draw(text),
        reward=draw(numbers),
        prompt_ids=np.array(draw(st.lists(int32, max_size=4)), np.int32),
        response_ids=np.array(response, np.int32),
        logprobs=np.array(bits, np.uint32).view(np.float32),
        allowed=allowed,
        starts_segment=draw(st.booleans()),
        completion=draw(text),
        policy_version=draw(st.integers(0, 2**40)),
        state_key=draw(st.none() | text),
        valid=draw(st.booleans()),
        finish_reason=draw(st.sampled_from(["stop", "length"])),
        agent=draw(text),
        versions=draw(st.none() | st.just(np.arange(len(response), dtype=np.int32))),
    )


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    return Trajectory(
        id=draw(text),
        group=draw(text),
        task_id=draw(text),
        turns=draw(st.lists(turns(), max_size=3)),
        outcome=draw(st.sampled_from(Outcome)),
        final_observation=draw(text),
        final_state_key=draw(st.none() | text),
        environment=draw(text),
        split=draw(text),
        seed=draw(st.integers(0, 2**63 - 1)),
        sampling=draw(st.dictionaries(text, numbers, max_size=2)),
        answer=draw(st.none() | text),
        error=draw(st.none() | text),
        metrics=draw(st.dictionaries(text, numbers, max_size=2)),
    )


def plain(value: Any) -> Any:
    """Everything a record holds, arrays by type and bits and floats by bits."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, float):
        return "nan" if value != value else value.hex()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Turn | Trajectory | Allowed):
        return {name: plain(getattr(value, name)) for name in type(value).__dataclass_fields__}
    return value


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(trajectories(), max_size=3))
def test_round_trip_is_exact(tmp_path: Path, suffix: str, written: list[Trajectory]) -> None:
    path = tmp_path / f"episodes{suffix}"
    storage.write(path, written)
    assert plain(storage.read(path)) == plain(written)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_surrogate_pair_and_a_great_integer(tmp_path: Path, suffix: str) -> None:
    trajectory = example()
    trajectory.metrics = {"nan": float("nan"), "inf": float("-inf"), "\udfff": 1.0}
    trajectory.turns[0].action = "\ud800 alone"
    trajectory.turns[1].observation = "\x00\x1f 한국어 \U0001f600"
    storage.write(tmp_path / f"x{suffix}", [trajectory])
    (back,) = storage.read(tmp_path / f"x{suffix}")
    assert plain(back) == plain(trajectory)


def test_seeds_beyond_64_bits(tmp_path: Path) -> None:
    trajectory = example()
    trajectory.seed = 2**80
    storage.write(tmp_path / "x.jsonl", [trajectory])
    assert storage.read(tmp_path / "x.jsonl")[0].seed == 2**80


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_more_trajectories_than_a_row_group(tmp_path: Path, suffix: str) -> None:
    written = [example(i, turn_count=i % 3) for i in range(1100)]
    storage.write(tmp_path / f"x{suffix}", iter(written))
    assert plain(storage.read(tmp_path / f"x{suffix}")) == plain(written)


def test_parquet_columns_are_readable_without_agentrl(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    storage.write(tmp_path / "x.parquet", [example()])
    row = pq.read_table(tmp_path / "x.parquet").to_pylist()[0]
    assert row["outcome"] == "success"
    assert row["turns"][1]["response_ids"] == example().turns[1].response_ids.tolist()


# Files of other frameworks -----------------------------------------------------------------------


def test_a_plain_file_of_another_framework(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    path.write_text(
        '{"group": "g", "id": "a", "outcome": 1.0, "note": "?", "turns": ['
        '{"agent": "solver", "state_key": "s0", "action": "go", "observation": "hall", '
        '"tokens": 3}, {"state_key": "s1", "action": "take", "observation": "key"}]}\n'
        '{"group": "g", "id": "b", "outcome": 0, "turns": '
        '[{"state_key": "s0", "action": "wait", "observation": "", "reward": 0.25, "x": {}}]}'
    )
    first, second = storage.read(path)
    assert [t.agent for t in first.turns] == ["solver", "agent"]
    assert [t.observation for t in first.turns] == ["", "hall"]
    assert first.final_observation == "key"
    assert [t.reward for t in first.turns] == [0.0, 1.0]
    assert first.turns[0].response_ids.tolist() == [-1, -1, -1]
    assert np.isnan(first.turns[0].logprobs).all()
    assert (first.outcome, first.task_id, first.reward) == (Outcome.SUCCESS, "g", 1.0)
    assert (second.outcome, second.reward) == (Outcome.FAILURE, 0.0)
    assert second.turns[0].reward == 0.25
    batch = Batch.from_jsonl(path)
    assert batch.returns.tolist() == [1.0, 0.0]
    assert batch.rewards.tolist() == [0.0, 1.0, 0.25]
    assert batch.state_keys == ["s0", "s1", "s0"]
    assert batch.sampled_per_turn().tolist() == [3, 0, 0]
    assert batch.next_observations == ["hall", "key", ""]


@pytest.mark.parametrize("outcome", ["NaN", '"nan"', "Infinity", "true", "-3"])
def test_outcomes_as_others_write_them(outcome: str) -> None:
    line = f'{{"group": "g", "id": "a", "outcome": {outcome}, "turns": [{{"action": "x"}}]}}'
    reward = decode(line.encode()).reward
    expected = {"NaN": "nan", '"nan"': "nan", "Infinity": "inf", "true": "1.0", "-3": "-3.0"}
    assert str(reward) == expected[outcome]


def test_ids_and_logprobs_as_lists() -> None:
    line = (
        '{"group": "g", "id": "a", "outcome": 0.5, "turns": [{"action": "x", '
        '"prompt_ids": [1, 2], "response_ids": [3], "logprobs": [-0.5]}]}'
    )
    (turn,) = decode(line.encode()).turns
    assert (turn.prompt_ids.tolist(), turn.response_ids.tolist()) == ([1, 2], [3])
    assert turn.logprobs.tolist() == [-0.5]


def test_our_own_lines_are_plain_files_too() -> None:
    trajectory = example()
    line = json.loads(encode(trajectory))
    assert line["outcome"] == trajectory.reward
    assert line["turns"][0]["observation"] == trajectory.turns[1].observation
    assert line["turns"][0]["action"] == "take 0"


def test_an_outcome_reward_apart_from_the_turns() -> None:
    trajectory = example()
    trajectory.outcome_reward = 7.0
    back = decode(encode(trajectory))
    assert (back.reward, back.outcome_reward) == (7.0, 7.0)
    assert [t.reward for t in back.turns] == [0.0, 0.1]
    for turn in trajectory.turns:
        turn.reward = 0.0
    assert [t.reward for t in decode(encode(trajectory)).turns] == [0.0, 0.0]


def test_a_batch_of_either_format(tmp_path: Path) -> None:
    storage.write(tmp_path / "x.parquet", [example(i) for i in range(5)])
    storage.write(tmp_path / "x.jsonl.zst", [example(i) for i in range(5)])
    left = Batch.from_parquet(tmp_path / "x.parquet")
    right = Batch.from_jsonl(tmp_path / "x.jsonl.zst")
    assert plain_columns(left) == plain_columns(right)
    assert left.groups == ["group 0", "group 1"]


def plain_columns(batch: Batch) -> dict[str, Any]:
    return {name: plain(getattr(batch, name)) for name in Batch.__dataclass_fields__}


def test_parquet_without_its_package_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['pyarrow'] = None\nfrom agentrl import storage\n"
        "storage.write('x.jsonl', [])\nstorage.write('x.parquet', [])\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert "MissingExtraError" in shown.stderr
    assert "agentrl-framework[parquet]" in shown.stderr
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_an_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="suffix"):
        storage.read(tmp_path / "x.csv")


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = storage.Writer(tmp_path / "new folder" / "x.jsonl")
    writer.write(example())
    writer.sync()
    writer.close()
    writer.close()
    with pytest.raises(DataError, match="closed"):
        writer.write(example())


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot write"):
        storage.Writer(tmp_path / "x.jsonl")


def test_compression_earns_its_place(tmp_path: Path) -> None:
    written = [example(i, turn_count=20) for i in range(20)]
    storage.write(tmp_path / "x.jsonl", written)
    storage.write(tmp_path / "x.jsonl.zst", written)
    sizes = [(tmp_path / name).stat().st_size for name in ("x.jsonl", "x.jsonl.zst")]
    assert sizes[1] < 0.7 * sizes[0]


def test_the_struct_knows_every_field() -> None:
    """A field added to the records of episodes must reach the file."""
    from agentrl.storage.parquet import _TURN, SCHEMA

    turn_fields = set(Turn.__dataclass_fields__)
    assert {f.name for f in _TURN} - {"allowed_ids", "allowed_counts"} == turn_fields - {"allowed"}
    assert set(SCHEMA.names) - {"exact"} == set(Trajectory.__dataclass_fields__)
    assert msgspec.json.decode(encode(example())).keys() >= {"group", "id", "outcome", "turns"}
