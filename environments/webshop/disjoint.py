"""Our own splits: no product, and no instruction, on two sides.

A hash of the product's instruction (of its name, where it has none) decides its split, so that a
product keeps its split when the catalogue grows. Within a split, goals are ordered by hashes so
that the first goals are of different products: a short panel is not filled by a product with
hundreds of option combinations. Prices and bounds come from `KeyedPrices`, product by product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentrl.cache import build_once
from agentrl.environments.webshop.goal_table import GoalTable, Products
from agentrl.environments.webshop.goals import (
    Goal,
    combination,
    distinct_choices,
    human_goal,
    synthetic_goal,
)
from agentrl.environments.webshop.prices import KeyedPrices

Goals = Literal["synthetic", "human", "all"]
SHARES: Mapping[str, tuple[int, int]] = {"train": (0, 80), "valid": (80, 90), "test": (90, 100)}
"""The remainders of the family hash, divided by a hundred, that belong to each split."""
_VERSION = 1
_SYNTHETIC, _HUMAN = "s", "h"
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Address:
    """A goal by its product and its number there."""

    asin: str
    kind: str
    """`s` or `h`, synthetic or human."""
    number: int
    """Among the distinct combinations of option values, or among the human instructions."""

    def __str__(self) -> str:
        """Return it as task ids write it."""
        return f"{self.asin}-{self.kind}{self.number}"


class DisjointGoals:
    """The goals of a catalogue by split, position and address."""

    def __init__(self, products: Products, table: GoalTable, goals: Goals, digest: str) -> None:
        """Sort the goals of a catalogue into splits.

        Args:
            products: The products of a shop.
            table: Their goals.
            goals: Which kinds there are.
            digest: A hash that stands for the table.
        """
        self._products = products
        self._table = table
        self._kinds = {"synthetic": _SYNTHETIC, "human": _HUMAN}.get(goals, _SYNTHETIC + _HUMAN)
        self._synthetic = int(table.distinct_starts[-1]) if _SYNTHETIC in self._kinds else 0
        key = f"{digest}-{goals}-{_VERSION}"
        self._order = _load(build_once("webshop-splits", key, self._save))

    def size(self, split: str) -> int:
        """Return how many goals a split has."""
        return len(self._order[split])

    def address(self, split: str, position: int) -> Address:
        """Return the address of the goal at a position of a split."""
        number = int(self._order[split][position])
        if number >= self._synthetic:
            row = self._table.human[number - self._synthetic]
            return Address(self._products[row.product].asin, _HUMAN, row.number)
        starts = self._table.distinct_starts
        home = int(np.searchsorted(starts, number, side="right")) - 1
        return Address(self._products[home].asin, _SYNTHETIC, number - int(starts[home]))

    def split_of(self, address: Address) -> str | None:
        """Return the split of a goal, or None where the catalogue has no such goal."""
        found = self._products.find(address.asin) if address.kind in self._kinds else None
        if found is None or address.number < 0:
            return None
        if address.kind == _HUMAN:
            known = address.number < len(self._instructions(found))
        else:
            starts = self._table.distinct_starts
            known = address.number < int(starts[found + 1] - starts[found])
        return _split(int(self._table.family[found])) if known else None

    def goal(self, address: Address, prices: KeyedPrices) -> Goal:
        """Make a goal that `split_of` knows."""
        number = self._products.find(address.asin)
        assert number is not None
        product = self._products[number]
        bound = prices.bound(product, f"{address.kind}{address.number}")
        if address.kind == _HUMAN:
            row = self._instructions(number)[address.number]
            return human_goal(product, self._table.human[row].instruction, bound)
        chosen = combination(distinct_choices(product), address.number)
        return synthetic_goal(product, chosen, bound, float(self._table.weights[number]))

    def _instructions(self, product: int) -> list[int]:
        """Return the rows of a product's human instructions."""
        return self._rows.get(product, [])

    @cached_property
    def _rows(self) -> dict[int, list[int]]:
        rows: dict[int, list[int]] = {}
        for place, row in enumerate(self._table.human):
            rows.setdefault(row.product, []).append(place)
        return rows

    def _save(self, draft: Path) -> None:
        product, number = self._all_goals()
        split = self._table.family[product] % np.uint64(100)
        order = _spread(self._table.keys[product], number)
        for name, (first, last) in SHARES.items():
            chosen = (split[order] >= first) & (split[order] < last)
            np.save(draft / f"{name}.npy", order[chosen].astype(np.uint32))

    def _all_goals(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each goal its product and its number there, human goals last."""
        table = self._table
        rows = table.human if _HUMAN in self._kinds else ()
        human = np.array([(row.product, row.number) for row in rows], np.int64).reshape(-1, 2)
        if _SYNTHETIC not in self._kinds:
            return human[:, 0], human[:, 1]
        counts = np.diff(table.distinct_starts)
        product = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(product)) - table.distinct_starts[product]
        return np.concatenate([product, human[:, 0]]), np.concatenate([number, human[:, 1]])


def parse_address(text: str) -> Address | None:
    """Return the address that `text` writes, or None."""
    asin, _, place = text.rpartition("-")
    digits = place[1:]
    if not (asin and digits.isascii() and digits.isdigit() and len(digits) < 11):
        return None
    address = Address(asin, place[0], int(digits))
    return address if str(address) == text else None


def _split(family: int) -> str:
    remainder = family % 100
    return next(name for name, (first, last) in SHARES.items() if first <= remainder < last)


def _spread(keys: NDArray[np.uint64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an order of goals that goes round the products, one goal of each at a time.

    Args:
        keys: [goals] The hash of each goal's product.
        numbers: [goals] The goal's number among the product's.
    """
    own = _mix(keys ^ _mix(numbers.astype(np.uint64) * _ODD))
    by_product = np.lexsort((own, keys))
    sorted_keys = keys[by_product]
    firsts = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])[: len(keys)]
    sizes = np.diff(np.r_[firsts, len(keys)])
    rounds = np.empty(len(keys), np.int64)
    rounds[by_product] = np.arange(len(keys)) - np.repeat(firsts, sizes)
    order: NDArray[np.int64] = np.lexsort((_mix(keys), rounds))
    return order


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return hashes of 64-bit numbers (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _load(entry: Path) -> dict[str, NDArray[np.uint32]]:
    return {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in SHARES}
