from __future__ import annotations

import hashlib

import pytest

from agentrl.errors import TaskError
from agentrl.tasks import SeededIds, Task, TaskSet, panel_digest, task_seed


@pytest.fixture
def tasks() -> TaskSet:
    return TaskSet(
        {"train": ["a", "b"], "extra": ["e"], "test": ["c"]},
        lambda task_id: task_id.upper(),
        training=("train", "extra"),
    )


def test_a_task_holds_id_split_and_data(tasks: TaskSet) -> None:
    assert tasks.at("train", 1) == Task("b", "train", "B")
    assert tasks.get("c") == Task("c", "test", "C")
    assert tasks.size("train") == 2


def test_held_out_splits(tasks: TaskSet) -> None:
    assert [tasks.is_held_out(split) for split in ("train", "extra", "test")] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda tasks: tasks.size("tets"),
        lambda tasks: tasks.ids("tets"),
        lambda tasks: tasks.at("tets", 0),
        lambda tasks: tasks.is_held_out("tets"),
    ],
)
def test_unknown_splits_are_told_with_a_hint(tasks: TaskSet, call) -> None:
    with pytest.raises(TaskError, match=r"unknown split 'tets'; did you mean 'test'\?"):
        call(tasks)


@pytest.mark.parametrize("task_id", ["", "d", "A", "train/0", "\ud800"])
def test_unknown_tasks_are_told(tasks: TaskSet, task_id: str) -> None:
    with pytest.raises(TaskError, match="unknown task"):
        tasks.get(task_id)


def test_fingerprints_hash_the_id_or_what_the_author_says(tasks: TaskSet) -> None:
    assert tasks.fingerprint("a") == hashlib.sha256(b"a").hexdigest()[:16]
    assert not tasks.has_fingerprint
    content = TaskSet({"train": ["a"]}, fingerprint=lambda task_id: f"<{task_id}>")
    assert content.fingerprint("a") == "<a>"
    assert content.has_fingerprint


def test_the_data_are_loaded_only_when_a_task_is_asked_for() -> None:
    loaded: list[str] = []
    tasks = TaskSet({"train": ["a", "b"]}, lambda task_id: loaded.append(task_id))
    assert tasks.size("train") == 2
    assert tasks.split_of("b") == "train"
    assert loaded == []
    tasks.get("b")
    assert loaded == ["b"]


def test_seeded_sets() -> None:
    tasks = TaskSet.seeded(train=10_000_000, test=500)
    assert tasks.at("train", 9_999_999).id == "train/9999999"
    assert tasks.get("test/499").split == "test"
    assert tasks.is_held_out("test")
    assert TaskSet.seeded(training=("a", "b"), a=1, b=2, c=3).training == {"a", "b"}


@pytest.mark.parametrize(
    "task_id",
    [
        "train/10", "train/-1", "train/01", "train/", "train", "train/1.0", "train/ 1",
        "train/\u0661", "train/1_0", "trian/1", "/1", "train/train/1", "train/" + "9" * 5000,
        "train/+1", "train/²",
    ],
)  # fmt: skip
def test_seeded_ids_know_exactly_their_own(task_id: str) -> None:
    assert task_id not in SeededIds("train", 10)


def test_seeded_ids_are_a_sequence() -> None:
    ids = SeededIds("train", 3)
    assert list(ids) == ["train/0", "train/1", "train/2"]
    assert ids[-1] == "train/2"
    assert all(task_id in ids for task_id in ids)
    assert 0 not in ids
    with pytest.raises(IndexError):
        ids[3]


def test_a_task_seed_depends_on_the_id_alone() -> None:
    # The first eight bytes of sha256("train/0"), little endian, halved.
    digest = hashlib.sha256(b"train/0").digest()
    assert task_seed("train/0") == int.from_bytes(digest[:8], "little") // 2
    assert len({task_seed(f"train/{n}") for n in range(1000)}) == 1000
    assert 0 <= task_seed("") < 2**63


def test_an_unknown_task_gets_a_hint() -> None:
    tasks = TaskSet(
        {"test": ["test/heat-mug-3", "test/cool-egg-1"], "other": SeededIds("other", 9)}
    )
    with pytest.raises(TaskError, match="unknown task 'test/heat-mug'; did you mean 'test/heat-mu"):
        tasks.get("test/heat-mug")
    for stranger in ("test/zzzzzzzzzzzzzzzzzzz", "other/9", "tests/1", ""):
        with pytest.raises(TaskError, match="splits here: other, test"):
            tasks.get(stranger)


def test_a_set_of_tasks_is_named_by_ids_and_contents() -> None:
    digest = panel_digest({"a": "1", "b": "2"})
    assert digest == panel_digest({"b": "2", "a": "1"})
    others = ({"a": "1"}, {"a": "1", "b": "3"}, {"a": "1", "c": "2"}, {"a": "1\tb", "b": "2"})
    assert len({digest, *map(panel_digest, others)}) == 5
    assert len(digest) == 12
