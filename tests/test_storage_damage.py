"""Trajectory files that are cut, damaged or foreign; writers that are killed or run out of disk."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import APPENDABLE, SUFFIXES, example

from agentrl import storage
from agentrl.errors import DataError
from agentrl.storage.record import decode, encode


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
