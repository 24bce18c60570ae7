from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agentrl.environments.webshop.goals import Goal
from agentrl.environments.webshop.nouns import tagger_named
from agentrl.environments.webshop.original import OriginalGoals, draw
from agentrl.environments.webshop.reward import score
from agentrl.environments.webshop.shop import Shop
from agentrl.environments.webshop.tasks import catalogue_goals, original_goals

BOUGHT = re.compile(
    r"asin(?:\n| \[SEP\] )(\w{10})(?:\n| \[SEP\] )options(?:\n| \[SEP\] )(\{.*?\})\s"
)


@pytest.fixture(scope="module")
def recorded(official_folder: Path) -> dict[str, Any]:
    packed = (official_folder / "webshop_original_engine_golden.json.xz").read_bytes()
    content: dict[str, Any] = json.loads(lzma.decompress(packed))
    return content


@pytest.fixture(scope="module")
def run(official_folder: Path, recorded: dict[str, Any]) -> tuple[OriginalGoals, Shop]:
    return original_goals(official_folder, seed=recorded["price_seed"])


def test_prices_are_those_of_the_recorded_run(
    run: tuple[OriginalGoals, Shop], recorded: dict[str, Any]
) -> None:
    goals, shop = run
    ours = {product.asin: goals.prices.of(product) for product in shop.products}
    assert len(ours) == 1000
    assert ours == recorded["prices"]


def test_goals_are_those_of_the_recorded_run(
    run: tuple[OriginalGoals, Shop], recorded: dict[str, Any]
) -> None:
    goals, _ = run
    assert len(goals) == 6910
    assert len(recorded["episodes"]) == 120
    for episode in recorded["episodes"]:
        goal, theirs = goals[episode["goal_index"]], episode["goal"]
        assert goal.text == theirs["instruction_text"]
        assert goal.asin == theirs["asin"]
        assert goal.price_upper == theirs["price_upper"]
        assert list(goal.attributes) == theirs["attributes"]
        assert json.dumps(dict(goal.options)) == json.dumps(theirs["goal_options"])


def test_rewards_are_those_of_the_recorded_run_in_all_parts(
    run: tuple[OriginalGoals, Shop], recorded: dict[str, Any]
) -> None:
    goals, shop = run
    tagger = tagger_named()
    bought = [episode for episode in recorded["episodes"] if "verbose" in episode]
    for episode in bought:
        last = episode["steps"][-1]
        found = BOUGHT.search(last["obs"])
        assert found is not None
        product, chosen = shop.products.by_asin(found[1]), json.loads(found[2])
        price = goals.prices.of(product)
        ours = score(goals[episode["goal_index"]], product, chosen, price, tagger)
        assert json.dumps(ours.parts()) == json.dumps(episode["verbose"])
        assert ours.reward == last["reward"]
    assert len(bought) == 115
    assert sum(episode["steps"][-1]["reward"] == 1.0 for episode in bought) == 31


def plain_goals(shop: Shop, prices: dict[str, float], bound: Callable[[str], float]) -> list[Any]:
    """Build the goals in the plainest way: a list of all of them, in the catalogue's order."""
    import itertools
    from collections import Counter

    frequency: Counter[str] = Counter()
    goals: list[tuple[Any, ...]] = []
    for product in shop.products:
        if product.instruction is None:
            continue
        groups = sorted(product.options)
        upper = bound(product.asin)
        for values in itertools.product(*(product.options[group] for group in groups)):
            frequency.update(product.instruction_attributes)
            goals.append((product, tuple(zip(groups, values, strict=True)), upper))
    return [
        (
            product.asin,
            options,
            upper,
            sum(1.0 / frequency[one] for one in product.instruction_attributes)
            / len(product.instruction_attributes),
        )
        for product, options, upper in goals
    ]


def test_every_goal_and_weight_is_that_of_the_plain_way(
    run: tuple[OriginalGoals, Shop], recorded: dict[str, Any]
) -> None:
    goals, shop = run
    bounds = {goal.asin: goal.price_upper for goal in goals}
    plain = plain_goals(shop, recorded["prices"], bounds.__getitem__)
    Random(233).shuffle(plain)
    assert [(goal.asin, goal.options, goal.price_upper, goal.weight) for goal in goals] == plain


def test_human_goals_of_the_small_set(official_folder: Path) -> None:
    goals, shop = original_goals(official_folder, "human", 5)
    assert len(goals) == 13
    assert {goal.kind for goal in goals} == {"human"}
    for goal in goals:
        price = goals.prices.of(shop.products.by_asin(goal.asin))
        assert goal.price_upper > price
        assert goal.weight == 1.0
    assert any("price lower than" in goal.text for goal in goals)
    assert goals.product_numbers().tolist() == [shop.products.find(goal.asin) for goal in goals]


def test_a_seed_gives_the_same_goals_again_and_another_seed_others(official_folder: Path) -> None:
    shop, table, _ = catalogue_goals(official_folder, "synthetic")

    def texts(seed: int) -> list[str]:
        drawn = draw(table, "synthetic", Random(seed))
        goals = OriginalGoals(shop.products, table, "synthetic", drawn)
        return [goals[position].text for position in range(200)]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_positions_that_there_are_not(run: tuple[OriginalGoals, Shop]) -> None:
    goals, _ = run
    assert isinstance(goals[-1], Goal)
    with pytest.raises(IndexError):
        goals[6910]


def test_a_product_of_another_shop_has_a_price(run: tuple[OriginalGoals, Shop]) -> None:
    import msgspec

    goals, shop = run
    ranged = next(product for product in shop.products if len(product.prices) > 1)
    assert goals.prices.of(msgspec.structs.replace(ranged, asin="B2")) == ranged.prices[0]
