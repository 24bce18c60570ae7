from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.prices import (
    NO_BOUND,
    KeyedPrices,
    draw_bound,
    draw_price,
    prices_in_order,
)


def product(asin: str = "B000000001", prices: tuple[float, ...] = (20.0, 40.0)) -> Product:
    fields: dict[str, Any] = {name: "" for name in ("name", "title", "description", "category")}
    fields |= dict.fromkeys(("query", "product_category", "price_text", "image"), "")
    fields |= {"bullets": (), "attributes": (), "options": {}, "option_images": {}}
    return msgspec.convert({**fields, "asin": asin, "prices": prices}, Product)


@given(price=st.floats(0, 1200), seed=st.integers(0, 1000))
def test_a_bound_is_drawn_as_the_original_draws_it(price: float, seed: int) -> None:
    steps = [10.0 * step for step in range(1, 100)]
    above = [step for step in steps if step > price][:4]
    ours, original = Random(seed), Random(seed)
    bound = draw_bound(price, ours)
    if len(above) < 2:
        assert bound == NO_BOUND
    else:
        assert bound == sorted(original.sample(above, 2))[1]
    assert ours.getstate() == original.getstate()


@pytest.mark.parametrize(
    ("price", "possible"),
    [
        (0.5, {20.0, 30.0, 40.0}),
        (10.0, {30.0, 40.0, 50.0}),
        (969.99, {980.0, 990.0}),
        (970.0, {990.0}),
        (980.0, {NO_BOUND}),
        (4299.99, {NO_BOUND}),
    ],
)
def test_the_bounds_that_are_possible(price: float, possible: set[float]) -> None:
    assert {draw_bound(price, Random(seed)) for seed in range(200)} == possible


def test_only_ranges_are_drawn() -> None:
    rng = Random(3)
    before = rng.getstate()
    assert draw_price((12.5,), rng) == 12.5
    assert rng.getstate() == before
    prices = prices_in_order([(12.5,), (20.0, 40.0), (44.99, 33.98)], Random(3))
    original = Random(3)
    assert prices == [12.5, original.uniform(20.0, 40.0), original.uniform(44.99, 33.98)]


def test_keyed_prices_depend_on_seed_and_product_alone() -> None:
    prices = KeyedPrices(0)
    assert prices.of(product()) == KeyedPrices(0).of(product())
    assert len({KeyedPrices(seed).of(product()) for seed in range(20)}) == 20
    assert prices.of(product("B2")) != prices.of(product())
    assert all(20.0 <= KeyedPrices(seed).of(product()) <= 40.0 for seed in range(50))
    assert prices.of(product(prices=(7.0,))) == 7.0


def test_keyed_prices_are_the_same_on_every_machine() -> None:
    assert KeyedPrices(0).of(product()) == 34.83993959183599
    assert [KeyedPrices(0).bound(product(), f"s{n}") for n in range(4)] == [60, 50, 60, 60]


def test_a_bound_is_above_the_price_of_the_same_seed() -> None:
    for seed in range(50):
        prices = KeyedPrices(seed)
        assert prices.bound(product(), "s0") > prices.of(product())
