"""HotpotQA as a data source: what is declared, packed and checked."""

from __future__ import annotations

import json

import pytest

from agentrl.data import Fetched, Silent, get, source
from agentrl.environments.searchqa import release
from agentrl.environments.searchqa.records import read_passages
from agentrl.environments.searchqa.sources import Shelf
from agentrl.errors import DataError

FILES = ("hotpot_train_v1.1.json", "hotpot_dev_distractor_v1.json")


def row(number):
    return {
        "_id": f"id{number}",
        "answer": "yes",
        "question": f"Is {number} a number?",
        "supporting_facts": [["Number", 0]],
        "context": [["Number", [f"Such as {number}."]], ["Word", ["Such as word."]]],
        "type": "comparison",
        "level": "easy",
    }


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / FILES[0]).write_text(json.dumps([row(n) for n in range(4)]))
    (folder / FILES[1]).write_text(json.dumps([row(9)]))
    return folder


def test_the_declaration():
    found = source("hotpotqa")
    assert (found.folder, found.environment) == ("searchqa", "searchqa")
    assert tuple(one.name for one in found.downloads) == FILES
    for one in found.downloads:
        assert one.bytes
        assert len(one.sha256 or "") == 64
        assert one.urls[0].endswith(one.name)
    assert [file.name for file in found.files if file.held_out] == ["hotpotqa_valid.jsonl"]


def test_packing(published, tmp_path):
    target = tmp_path / "packed"
    target.mkdir()
    fetched = {name: Fetched(published / name, is_ours=False) for name in FILES}
    release.pack(fetched, target, Silent())
    assert sorted(file.name for file in target.iterdir()) == [
        "hotpotqa_corpus.jsonl.xz",
        "hotpotqa_train.jsonl.xz",
        "hotpotqa_valid.jsonl.xz",
    ]
    assert len(list(read_passages(target / "hotpotqa_corpus.jsonl.xz"))) == 6
    splits = Shelf(target, "hotpotqa").splits
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 4, "valid": 1}


def test_other_content_is_refused_unless_asked_for(published, tmp_path):
    with pytest.raises(DataError, match=r"hotpot_train_v1\.1\.json is not the file"):
        get(source("hotpotqa"), root=tmp_path / "data", origin=str(published))
    report = get(source("hotpotqa"), root=tmp_path / "data", origin=str(published), unverified=True)
    assert not report.is_right
    assert [check.note for check in report.checks] == [
        "4 questions; 90,447 are known",
        "1 questions; 7,405 are known",
    ]


def test_checking(tmp_path):
    assert [check.state for check in release.verify(tmp_path)] == ["missing", "missing"]
    (tmp_path / "hotpotqa_100.jsonl").write_text("")
    states = {(check.state, check.note) for check in release.verify(tmp_path)}
    assert states == {("unverified", "hotpotqa_100.jsonl stands for it")}
    (tmp_path / "hotpotqa_train.jsonl").write_text("{")
    assert "line 1 is damaged" in release.verify(tmp_path)[0].note
