from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.goals import (
    choices,
    combination,
    combinations,
    distinct_choices,
    human_goal,
    price_clause,
    synthetic_goal,
)
from agentrl.environments.webshop.human import HumanInstruction, read_human_instructions
from agentrl.environments.webshop.prices import NO_BOUND
from agentrl.errors import DataError


def write_catalogue(folder: Path, human: dict[str, Any] | None = None) -> None:
    (folder / "items_shuffle.json").write_text("[]")
    (folder / "items_ins_v2.json").write_text("{}")
    if human is not None:
        (folder / "items_human_ins.json").write_text(json.dumps(human))


def lamp(**fields: Any) -> Product:
    return msgspec.convert(
        {
            "asin": "B000000001",
            "name": "Red Lamp",
            "title": "Red Lamp",
            "description": "",
            "bullets": (),
            "category": "garden",
            "query": "lamps",
            "product_category": "Home \u203a Lamps",
            "attributes": ("easy clean",),
            "price_text": "$12.5",
            "prices": (12.5,),
            "options": {"size": ("s", "m"), "color": ("red", "blue", "red")},
            "option_images": {},
            "image": "",
            "instruction": "Find me easy clean lamps",
            "instruction_attributes": ("easy clean",),
            **fields,
        },
        Product,
    )


def test_a_synthetic_goal() -> None:
    options = combination(choices(lamp()), 3)
    goal = synthetic_goal(lamp(), options, 30.0, 0.25)
    assert goal.options == (("color", "blue"), ("size", "m"))
    assert goal.text == (
        "Find me easy clean lamps with color: blue, and size: m, and price lower than 30.00 dollars"
    )
    assert (goal.asin, goal.attributes, goal.price_upper) == ("B000000001", ("easy clean",), 30.0)
    assert (goal.weight, goal.kind) == (0.25, "synthetic")


def test_a_goal_without_options_or_bound() -> None:
    product = lamp(options={})
    assert combinations(choices(product)) == 1
    goal = synthetic_goal(product, combination(choices(product), 0), NO_BOUND)
    assert (goal.text, goal.options) == ("Find me easy clean lamps", ())


@given(st.dictionaries(st.text(max_size=3), st.lists(st.text(max_size=3), max_size=4), max_size=4))
def test_combinations_come_in_the_order_of_a_product(options: dict[str, list[str]]) -> None:
    product = lamp(options=options)
    groups = sorted(options)
    expected = [
        tuple(zip(groups, values, strict=True))
        for values in itertools.product(*(options[group] for group in groups))
    ]
    found = choices(product)
    assert [combination(found, i) for i in range(combinations(found))] == expected


def test_numbers_of_combinations_that_there_are_not() -> None:
    for number in (-1, 6):
        with pytest.raises(IndexError):
            combination(choices(lamp()), number)


def test_repeated_values_count_once_where_they_are_asked_to() -> None:
    assert combinations(choices(lamp())) == 6
    assert distinct_choices(lamp()) == {"color": ("red", "blue"), "size": ("s", "m")}
    assert list(distinct_choices(lamp())) == ["color", "size"]


def test_a_human_goal() -> None:
    said = HumanInstruction("i want a red lamp.", ("easy clean",), ("red", "m"))
    goal = human_goal(lamp(), said, 50.0)
    assert goal.text == "i want a red lamp, and price lower than 50.00 dollars"
    assert (goal.options, goal.weight, goal.kind) == (("red", "m"), 1.0, "human")


def test_content_covers_what_is_asked_for_and_not_the_weight() -> None:
    goal = synthetic_goal(lamp(), (("color", "red"),), 30.0)
    assert goal.content() == replace(goal, weight=9.0).content()
    changes: list[dict[str, Any]] = [
        {"asin": "B2"},
        {"text": "x"},
        {"attributes": ()},
        {"options": ("red",)},
        {"price_upper": 40.0},
        {"kind": "human"},
    ]
    hashes = {replace(goal, **change).content() for change in changes} | {goal.content()}
    assert len(hashes) == len(changes) + 1
    assert price_clause(30.0) in goal.text


def test_human_instructions_of_the_small_set(official_folder: Path) -> None:
    found = read_human_instructions(official_folder)
    assert sum(map(len, found.values())) == 13
    assert found["B09R4RJSFP"] == (
        HumanInstruction("i need a 120 ml hair mask treatment", ("hair treatment",), ("120ml",)),
    )


def test_instructions_without_attributes_are_no_goals(tmp_path: Path) -> None:
    said = {"instruction": "x", "instruction_attributes": [], "instruction_options": []}
    wanted = {**said, "instruction_attributes": ["red"]}
    write_catalogue(tmp_path, {"B1": [said, wanted]})
    assert read_human_instructions(tmp_path) == {"B1": (HumanInstruction("x", ("red",), ()),)}


def test_missing_and_damaged_human_instructions(tmp_path: Path) -> None:
    write_catalogue(tmp_path)
    with pytest.raises(DataError, match=r"goals='human' needs items_human_ins.json"):
        read_human_instructions(tmp_path)
    (tmp_path / "items_human_ins.json").write_text('{"B1": [{"instruction": "x"}]}')
    with pytest.raises(DataError, match=r"items_human_ins.json is damaged.*instruction_attributes"):
        read_human_instructions(tmp_path)
