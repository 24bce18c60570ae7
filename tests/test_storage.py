from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrl import storage
from agentrl.batch import Batch
from agentrl.errors import DataError
from agentrl.storage.record import decode, encode
from agentrl.trajectory import Allowed, Outcome, Trajectory, Turn

SUFFIXES = [".jsonl", ".jsonl.zst", ".parquet"]
APPENDABLE = SUFFIXES[:2]

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


def example(index: int = 0, turn_count: int = 2) -> Trajectory:
    rng = np.random.default_rng(index)
    made = [
        Turn(
            observation=f"You see {position}.",
            action=f"take {position}",
            reward=0.1 * position,
            prompt_ids=rng.integers(0, 32000, 20, dtype=np.int32),
            response_ids=rng.integers(0, 32000, 6, dtype=np.int32),
            logprobs=-rng.random(6, dtype=np.float32),
            starts_segment=position == 0,
            state_key=f"room {position}",
        )
        for position in range(turn_count)
    ]
    return Trajectory(f"episode {index}", f"group {index // 4}", "task", made, Outcome.SUCCESS)


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


# Damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", APPENDABLE)
def test_a_cut_at_any_byte_loses_at_most_one_trajectory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    ends = [0]
    with storage.Writer(path) as writer:
        for index in range(3):
            writer.write(example(index, turn_count=1))
            ends.append(path.stat().st_size)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        reader = storage.Reader(path)
        complete = sum(end <= cut for end in ends[1:])
        ids = [t.id for t in reader]
        at_line_end = suffix == ".jsonl" and cut + 1 in ends  # only the line break is missing
        assert ids == [f"episode {i}" for i in range(complete + at_line_end)]
        assert reader.skipped == (cut not in ends and not at_line_end)


@pytest.mark.parametrize("suffix", APPENDABLE)
def test_writing_goes_on_after_a_cut(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"x{suffix}"
    storage.write(path, [example(0), example(1)])
    path.write_bytes(path.read_bytes()[:-9])
    with storage.Writer(path) as writer:
        assert writer.removed == 1
        writer.write(example(2))
    assert "removed" in caplog.text
    assert [t.id for t in storage.read(path)] == ["episode 0", "episode 2"]


def test_a_last_line_without_its_break_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(encode(example(0)))
    with storage.Writer(path) as writer:
        assert writer.removed == 0
        writer.write(example(1))
    assert [t.id for t in storage.read(path)] == ["episode 0", "episode 1"]


@pytest.mark.parametrize("suffix", APPENDABLE)
def test_what_was_written_survives_kill_9(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    storage.write(tmp_path / "source.jsonl", [example(0, turn_count=5)])
    code = (
        "import sys\nfrom agentrl import storage\n"
        "episode, = storage.read(sys.argv[1])\n"
        "with storage.Writer(sys.argv[2]) as writer:\n"
        "    for index in range(10**9):\n"
        "        episode.id = str(index)\n"
        "        writer.write(episode)\n"
        "        print(index, flush=True)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "source.jsonl"), str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        told = 50 + len(process.stdout.read().split("\n")[:-1])
    ids = [t.id for t in storage.Reader(path)]
    assert ids == [str(i) for i in range(len(ids))]
    assert len(ids) >= told
    with storage.Writer(path) as writer:
        writer.write(example(7))
    reader = storage.Reader(path)
    assert [t.id for t in reader] == [*ids, "episode 7"]
    assert reader.skipped == 0


def test_a_zstd_file_of_one_frame_is_read_but_not_appended_to_when_cut(tmp_path: Path) -> None:
    import zstandard

    path = tmp_path / "x.jsonl.zst"
    rng = np.random.default_rng(0)
    lines = [encode(example(i, turn_count=40)) + b"\n" for i in range(40)]
    rng.shuffle(lines)
    frame = zstandard.ZstdCompressor().compress(b"".join(lines))
    path.write_bytes(frame)
    assert len(storage.read(path)) == 40
    path.write_bytes(frame[:-1000])
    reader = storage.Reader(path)
    assert 0 < len(list(reader)) < 40
    assert reader.skipped == 1
    with pytest.raises(DataError, match="agentrl did not write"):
        storage.Writer(path)
    assert path.stat().st_size == len(frame) - 1000


GOOD = b'{"group":"g","id":"a","outcome":1,"turns":[]}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{oops}", "line 2: not JSON"),
        (b"[]", "line 2: .*Expected `object`"),
        (b'{"group":"g","id":"a","turns":[]}', "line 2: .*missing required field `outcome`"),
        (GOOD.replace(b"1", b'"one"'), r"line 2: .*\$.outcome"),
        (GOOD.replace(b"[]", b'[{"observation":"x"}]'), "line 2: .*`action`"),
        (GOOD.replace(b"[]", b'[{"action":"x","prompt_ids":[4294967296]}]'), "line 2"),
        (GOOD.replace(b"[]", b'[{"action":"x","response_ids":[1]}]').replace(b"x", b"\xff"), "2"),
        (
            GOOD.replace(b"[]", b'[{"action":"x","response_ids":[1],"logprobs":[-1,-2]}]'),
            "line 2: turn 0 of trajectory 'a' has 1 response ids but 2 log-probabilities",
        ),
        (GOOD.replace(b"[]", b'[{"action":"x","response_ids":[1],"logprobs":"AAA="}]'), "line 2"),
        (GOOD.replace(b"[]", b'[{"action":"x","tokens":-1}]'), "line 2"),
        (GOOD.replace(b"[]", b'[{"action":"x","versions":[1]}]'), "0 response ids but 1 policy"),
        (GOOD.replace(b"[]", b'[{"action":"x","versions":[4294967296]}]'), "line 2"),
        (b"[" * 100_000, "line 2"),
        (b"\x00\x01", "line 2: not JSON"),
        (GOOD[:-3], "line 2: not JSON"),
    ],
)
def test_damage_names_file_and_line(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
    with pytest.raises(DataError, match=message) as caught:
        storage.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_last_line_of_another_kind_is_damage_and_not_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(GOOD + b'\n{"group": "g"}')
    with pytest.raises(DataError, match="line 2"):
        storage.read(path)


def test_blank_lines_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\n" + GOOD + b"\r\n  \n")
    assert len(storage.read(tmp_path / "x.jsonl")) == 1


@given(junk=st.binary(max_size=200))
def test_junk_never_raises_anything_else(junk: bytes) -> None:
    with suppress(DataError):
        decode(junk)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_missing_and_foreign_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    with pytest.raises(DataError, match="No such file"):
        storage.read(path)
    storage.write(path, [example(i, turn_count=20) for i in range(4)])
    whole = bytearray(path.read_bytes())
    whole[30:40] = b"~" * 10
    if suffix == ".parquet":
        whole[-40:-30] = b"~" * 10
    path.write_bytes(whole)
    with pytest.raises(DataError, match=f"x{suffix}"):
        storage.read(path)


def test_parquet_of_something_else(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="holds no trajectories"):
        storage.read(tmp_path / "x.parquet")


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


def test_a_failing_source_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    storage.write(path, [example(0)])

    def broken() -> Any:
        yield example(1)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        storage.write(path, broken())
    assert [t.id for t in storage.read(path)] == ["episode 0"]
    assert os.listdir(tmp_path) == ["x.jsonl"]


@pytest.mark.parametrize("suffix", APPENDABLE)
def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    code = (
        "import resource, signal, sys\nfrom agentrl import storage\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "episode, = storage.read(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "with storage.Writer(sys.argv[2]) as writer:\n"
        "    while True: writer.write(episode)\n"
    )
    storage.write(tmp_path / "source.jsonl", [example(0, turn_count=5)])
    arguments = [sys.executable, "-c", code, str(tmp_path / "source.jsonl"), str(path)]
    shown = subprocess.run(arguments, capture_output=True, text=True)
    assert "DataError: cannot write" in shown.stderr
    assert "File too large" in shown.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20_000
    reader = storage.Reader(path)
    assert len(list(reader)) > 2
    assert reader.skipped == 0


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
