from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrl.environments.webshop import json_stream
from agentrl.environments.webshop.json_stream import read_array
from agentrl.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.json"


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    records=st.lists(VALUES.map(lambda value: [value]), max_size=8),
    block=st.integers(1, 40),
    indent=st.none() | st.integers(0, 3),
    is_ascii=st.booleans(),
)
def test_every_cut_into_blocks_reads_the_same(
    file: Path, records: list[Any], block: int, indent: int | None, is_ascii: bool
) -> None:
    text = json.dumps(records, indent=indent, ensure_ascii=is_ascii)
    file.write_bytes(text.encode(errors="replace"))
    expected = json.loads(file.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_BLOCK", block)
        assert list(read_array(file)) == expected


def test_a_byte_order_mark_and_blanks_are_skipped(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf \n[ 1 , 2 ]\n")
    assert list(read_array(file)) == [1, 2]


@pytest.mark.parametrize(
    ("text", "read", "message"),
    [
        ("", 0, "does not begin with a list"),
        ("{}", 0, "does not begin with a list"),
        ("[", 0, "record 1 is damaged"),
        ('[{"a": 1}, {"a": ', 1, "record 2 is damaged"),
        ('[{"a": 1}', 1, "breaks off"),
        ('[{"a": 1} {"a": 2}]', 1, "is no comma"),
        ('[{"a": 1}, oops]', 1, "record 2 is damaged"),
        ("[" + "[" * 100_000, 0, "too deep"),
    ],
)
def test_damage_names_the_record(file: Path, text: str, read: int, message: str) -> None:
    file.write_text(text)
    records = read_array(file)
    assert len(list(itertools.islice(records, read))) == read
    with pytest.raises(DataError, match=message):
        next(records)


def test_bytes_that_are_no_text_are_named(file: Path) -> None:
    file.write_bytes(b'["\xff\xfe"]')
    with pytest.raises(DataError, match="not UTF-8"):
        list(read_array(file))


def test_a_record_without_end_is_not_read_to_the_end(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "_LONGEST_RECORD", 100)
    monkeypatch.setattr(json_stream, "_BLOCK", 10)
    file.write_text('["' + "x" * 10_000)
    with pytest.raises(DataError, match="record 1 is damaged"):
        list(read_array(file))
