from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agentrl.environments.webshop.tasks import RANGES, catalogue_goals, webshop_tasks
from agentrl.errors import ConfigError, DataError, TaskError
from agentrl.tasks import TaskSet


def every(tasks: TaskSet, split: str) -> list[Any]:
    return [tasks.get(task_id).data for task_id in tasks.ids(split)]


@pytest.fixture(scope="module")
def ours(official_folder: Path) -> TaskSet:
    return webshop_tasks(official_folder)


def test_our_splits_share_no_product_no_goal_and_no_instruction(ours: TaskSet) -> None:
    tasks = {split: every(ours, split) for split in ours.splits}
    assert {split: len(found) for split, found in tasks.items()} == {
        "train": 5946,
        "valid": 294,
        "test": 661,
    }
    for what in ("asin", "text", "name"):
        seen = [{getattr(task.goal, what) for task in found} for found in tasks.values()]
        assert sum(map(len, seen)) == len(set().union(*seen))
    contents = Counter(task.content() for found in tasks.values() for task in found)
    assert max(contents.values()) == 1


def test_our_splits_hold_each_distinct_goal_once(ours: TaskSet) -> None:
    goals = [task.goal for split in ours.splits for task in every(ours, split)]
    wanted = {(goal.asin, goal.options) for goal in goals}
    assert len(wanted) == len(goals) == 6901
    assert len({goal.asin for goal in goals}) == 415


def test_the_first_goals_of_a_split_are_of_different_products(ours: TaskSet) -> None:
    for split, products in (("test", 40), ("valid", 39), ("train", 336)):
        first = [ours.at(split, position).data.goal.asin for position in range(products)]
        assert len(set(first)) == products


def test_held_out_splits_are_held_out(official_folder: Path) -> None:
    for protocol in ("disjoint", "original", "verl_agent"):
        tasks = webshop_tasks(official_folder, protocol=protocol)
        trained = [split for split in tasks.splits if not tasks.is_held_out(split)]
        assert trained == ["train"]


@pytest.mark.parametrize("protocol", list(RANGES))
def test_the_splits_of_the_literature_are_ranges_of_one_list(
    official_folder: Path, protocol: Any
) -> None:
    tasks = webshop_tasks(official_folder, protocol=protocol)
    whole = webshop_tasks(official_folder, protocol="original")
    positions = []
    for split, (first, last) in RANGES[protocol].items():
        assert tasks.size(split) == (6910 if last is None else last) - first
        positions += [int(one.split("/")[1].split("-")[0]) for one in tasks.ids(split)]
    assert sorted(positions) == list(range(6910))
    assert tasks.at("train", 2000).data.goal in [task.goal for task in every(whole, "train")[:2100]]


def test_an_id_names_its_task(ours: TaskSet) -> None:
    for split in ours.splits:
        task_id = ours.ids(split)[7]
        task = ours.get(task_id)
        assert (task.id, task.split) == (task_id, split)
        assert task.data.content().startswith(task_id.rpartition("-")[2])
        assert ours.fingerprint(task_id) == task.data.content()
        assert ours.ids(split).index(task_id) == 7


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.replace("test/", "train/"),
        lambda one: one[:-1] + ("0" if one[-1] != "0" else "1"),
        lambda one: one.replace("-s", "-h"),
        lambda one: one.replace("-s", "-s0"),
        lambda one: one.replace("-s", "-s9999"),
        lambda one: one.rpartition("-")[0],
        lambda one: one.partition("/")[2],
        lambda one: one.upper(),
        lambda one: "test/",
        lambda one: "",
        lambda one: "test/" + "9" * 5000,
        lambda one: "test/B-s²-00000000",
    ],
)
@pytest.mark.parametrize("protocol", ["disjoint", "original"])
def test_unknown_ids_are_told(official_folder: Path, change: Any, protocol: Any) -> None:
    tasks = webshop_tasks(official_folder, protocol=protocol)
    task_id = tasks.ids("test")[3]
    changed = change(task_id)
    if changed == task_id:
        pytest.skip("this id has nothing to change")
    with pytest.raises(TaskError, match="unknown task"):
        tasks.get(changed)


def test_ids_are_the_same_in_every_process(official_folder: Path, ours: TaskSet) -> None:
    program = (
        "import sys; from agentrl.environments.webshop.tasks import webshop_tasks as tasks;"
        "print([tasks(sys.argv[1], protocol=p).ids('train')[i] "
        "for p in ('disjoint', 'verl_agent') for i in (0, 99)])"
    )
    command = [sys.executable, "-c", program, str(official_folder)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    theirs = webshop_tasks(official_folder, protocol="verl_agent")
    ids = [tasks.ids("train")[place] for tasks in (ours, theirs) for place in (0, 99)]
    assert printed.strip() == str(ids)
    assert ids[0] == "train/B09Q8RD8YN-s0-5e3c075e"


def test_tasks_are_made_once_per_process(official_folder: Path) -> None:
    assert webshop_tasks(official_folder) is webshop_tasks(str(official_folder))
    assert webshop_tasks(official_folder) is not webshop_tasks(official_folder, price_seed=1)


def test_a_task_knows_the_price_of_every_product(official_folder: Path, ours: TaskSet) -> None:
    theirs = webshop_tasks(official_folder, protocol="verl_agent").at("valid", 0).data
    task = ours.at("train", 0).data
    shop, _, _ = catalogue_goals(official_folder.resolve(), "synthetic")
    for product in shop.products:
        low, high = min(product.prices), max(product.prices)
        assert low <= task.price_of(product) <= high
        assert low <= theirs.price_of(product) <= high
    asked = [one for split in ours.splits for one in every(ours, split)]
    for one in asked:
        assert one.goal.price_upper > one.price_of(shop.products.by_asin(one.goal.asin))


def test_price_variants_are_the_same_goals_with_other_bounds(
    official_folder: Path, ours: TaskSet
) -> None:
    varied = webshop_tasks(official_folder, price_variants=3)
    size = ours.size("train")
    assert varied.size("train") == 3 * size
    assert (varied.size("valid"), varied.size("test")) == (294, 661)
    assert varied.ids("train")[5] == ours.ids("train")[5]
    three = [varied.at("train", 5 + size * variant).data for variant in range(3)]
    assert len({(task.goal.asin, task.goal.options) for task in three}) == 1
    assert [task.price_seed for task in three] == [0, 1, 2]
    bounds = {varied.at("train", n + size).data.goal.price_upper for n in range(50)}
    assert bounds != {ours.at("train", n).data.goal.price_upper for n in range(50)}
    last = varied.ids("train")[3 * size - 1]
    assert varied.get(last).data.price_seed == 2
    assert last not in ours.ids("train")
    assert len({varied.ids("train")[n] for n in range(0, 3 * size, 13)}) == len(
        range(0, 3 * size, 13)
    )


def test_human_goals_and_both_kinds(official_folder: Path) -> None:
    human = webshop_tasks(official_folder, goals="human")
    both = webshop_tasks(official_folder, goals="all")
    kinds = Counter(task.goal.kind for split in both.splits for task in every(both, split))
    assert kinds == {"synthetic": 6901, "human": 13}
    assert sum(human.size(split) for split in human.splits) == 13
    for split in human.splits:
        assert set(human.ids(split)) < set(both.ids(split))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "origin"}, "unknown protocol 'origin'; did you mean 'original'"),
        ({"goals": "humans"}, "unknown goals 'humans'; did you mean 'human'"),
        ({"price_seed": -1}, "price_seed must be a whole number from 0"),
        ({"price_seed": "7"}, "price_seed must be a whole number from 0"),
        ({"price_variants": 0}, "price_variants must be a whole number from 1"),
        ({"protocol": "original", "goals": "all"}, "need protocol='disjoint'"),
        ({"protocol": "original", "price_variants": 2}, "need protocol='disjoint'"),
        ({"protocol": "original", "goals": "human"}, "more than 1500 goals.* 13 human"),
    ],
)
def test_options_that_make_no_sense(
    official_folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        webshop_tasks(official_folder, **options)


def test_missing_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        webshop_tasks(tmp_path / "none")


def test_a_shop_of_our_own(shop_folder: Path) -> None:
    tasks = webshop_tasks(shop_folder, goals="all")
    goals = [task.goal for split in tasks.splits for task in every(tasks, split)]
    assert {goal.kind for goal in goals} == {"synthetic", "human"}
    assert len(goals) == 64 * 2 + 30 + 1
