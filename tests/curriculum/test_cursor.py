from __future__ import annotations

from agentrl.curriculum.cursor import TaskCursor
from agentrl.tasks import TaskSet


def test_each_pass_has_every_task_once_in_another_order() -> None:
    cursor = TaskCursor(TaskSet.seeded(train=10), "train", seed=3)
    first, second = cursor.take(10), cursor.take(10)
    assert sorted(first) == sorted(second) == sorted(f"train/{i}" for i in range(10))
    assert first != second


def test_a_position_is_the_whole_state() -> None:
    tasks = TaskSet.seeded(train=7)
    walked = TaskCursor(tasks, "train", seed=1)
    walked.take(5)
    assert TaskCursor(tasks, "train", seed=1, position=5).take(9) == walked.take(9)
    assert walked.position == 14


def test_seeds_differ() -> None:
    tasks = TaskSet.seeded(train=50)
    orders = {tuple(TaskCursor(tasks, "train", seed).take(50)) for seed in range(3)}
    assert len(orders) == 3


def test_huge_splits_are_sampled() -> None:
    taken = TaskCursor(TaskSet.seeded(train=10**12), "train", seed=0).take(1000)
    assert len(set(taken)) > 990
    assert (
        TaskCursor(TaskSet.seeded(train=10**12), "train", 0, position=500).take(1) == taken[500:501]
    )


def test_a_limit_keeps_to_the_first_tasks() -> None:
    cursor = TaskCursor(TaskSet.seeded(train=10), "train", seed=0, limit=4)
    assert sorted(cursor.take(4)) == [f"train/{i}" for i in range(4)]
    assert sorted(cursor.take(4)) == [f"train/{i}" for i in range(4)]
