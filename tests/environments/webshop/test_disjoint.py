from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.environments.webshop.catalogue import Product, read_products
from agentrl.environments.webshop.disjoint import SHARES, Address, DisjointGoals, parse_address
from agentrl.environments.webshop.disjoint import _spread as spread
from agentrl.environments.webshop.goal_table import goal_table
from agentrl.environments.webshop.prices import KeyedPrices

Make = Callable[[list[Product]], DisjointGoals]


class Listed(list[Product]):
    """Products held in a list."""

    def find(self, asin: str) -> int | None:
        return next((n for n, product in enumerate(self) if product.asin == asin), None)


@pytest.fixture
def make() -> Make:
    def build(products: list[Product]) -> DisjointGoals:
        digest = f"test-{abs(hash(tuple(product.asin for product in products)))}"
        table, key = goal_table(Listed(products), digest, {})
        return DisjointGoals(Listed(products), table, "synthetic", key)

    return build


def addresses(goals: DisjointGoals) -> dict[str, list[Address]]:
    return {
        split: [goals.address(split, place) for place in range(goals.size(split))]
        for split in SHARES
    }


def test_a_goal_keeps_split_text_and_price_when_the_catalogue_grows(
    official_folder: Path, make: Make
) -> None:
    products = list(read_products(official_folder))
    few, many = make(products[500:700]), make(products)
    prices = KeyedPrices(0)
    grown = addresses(many)
    for split, found in addresses(few).items():
        few_of_them = set(found)
        assert [one for one in grown[split] if one in few_of_them] == found
        for address in found:
            assert few.split_of(address) == many.split_of(address) == split
            assert few.goal(address, prices).content() == many.goal(address, prices).content()


def test_products_asked_for_alike_share_a_split(official_folder: Path, make: Make) -> None:
    first = next(p for p in read_products(official_folder) if p.instruction is not None)
    twins = [msgspec.structs.replace(first, asin=f"B{n}", name=f"Name {n}") for n in range(40)]
    goals = make(twins)
    assert sorted(goals.size(split) > 0 for split in SHARES) == [False, False, True]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=60, unique=True).map(sorted)
)
def test_goals_go_round_the_products(pairs: list[tuple[int, int]]) -> None:
    keys = np.array([pair[0] * 977 for pair in pairs], np.uint64)
    order = spread(keys, np.array([pair[1] for pair in pairs], np.int64))
    assert sorted(order.tolist()) == list(range(len(pairs)))
    products = [pairs[place][0] for place in order]
    rounds = [products[:place].count(product) for place, product in enumerate(products)]
    assert rounds == sorted(rounds)


@pytest.mark.parametrize("text", ["B1-s0", "B1-h12", "B-1-s3", "B1-x1", "-s-s1"])
def test_addresses_are_read_as_they_are_written(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "-", "B1", "B1-", "B1-s", "-s0", "B1-s01", "B1-s²", "B1-s-1"])
def test_what_is_no_address(text: str) -> None:
    assert parse_address(text) is None


def test_addresses_of_nothing(official_folder: Path, make: Make) -> None:
    goals = make(list(read_products(official_folder, limit=100)))
    known = next(one for found in addresses(goals).values() for one in found)
    assert goals.split_of(known) is not None
    for wrong in (
        Address("B0", "s", 0),
        Address(known.asin, "s", 10**9),
        Address(known.asin, "s", -1),
        Address(known.asin, "h", 0),
        Address(known.asin, "x", 0),
    ):
        assert goals.split_of(wrong) is None
