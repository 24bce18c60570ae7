"""The goals of the original: drawn and shuffled in its order, addressed by position.

The original draws prices, then bounds, and then shuffles all goals with the seed 233; session i
plays the goal at position i. The usual splits are ranges of these positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from agentrl.cache import build_once
from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.goal_table import GoalTable, Products
from agentrl.environments.webshop.goals import (
    Goal,
    GoalKind,
    choices,
    combination,
    human_goal,
    synthetic_goal,
)
from agentrl.environments.webshop.prices import NO_BOUND, draw_bound, prices_in_order

SHUFFLE_SEED = 233
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Draw:
    """What one run of the original draws when it starts."""

    prices: NDArray[np.float64]
    """[products] What each costs, in dollars."""
    bounds: NDArray[np.float64]
    """The bound on the price: one per product for synthetic goals, one per human instruction."""
    order: NDArray[np.int64]
    """[goals] The goal at each position after the shuffle."""


@dataclass(frozen=True, slots=True)
class DrawnPrices:
    """The prices of one run of the original."""

    products: Products
    table: NDArray[np.float64]

    def of(self, product: Product) -> float:
        """Return the price of a product in dollars."""
        if len(product.prices) < 2:
            return product.prices[0]
        number = self.products.find(product.asin)
        return product.prices[0] if number is None else float(self.table[number])


def draw(table: GoalTable, kind: GoalKind, rng: Random) -> Draw:
    """Draw what the original draws when it starts with a generator in this state."""
    prices = prices_in_order(table.ranges(), rng)
    if kind == "human":
        bounds = [draw_bound(prices[row.product], rng) for row in table.human]
        total = len(bounds)
    else:
        bounds = [
            draw_bound(price, rng) if is_instructed else NO_BOUND
            for price, is_instructed in zip(prices, table.instructed.tolist(), strict=True)
        ]
        total = int(table.starts[-1])
    order = list(range(total))
    Random(SHUFFLE_SEED).shuffle(order)
    return Draw(np.array(prices), np.array(bounds), np.array(order, np.int64))


def generator(seed: int) -> Random:
    """Return the generator that the original starts with when it is seeded just before.

    When our recordings of the original were made, one number had been drawn by the time it came to
    the prices. It is drawn here, too, so that the seed of a recording gives its prices.
    """
    rng = Random(seed)
    rng.getrandbits(32)
    return rng


def seeded_draw(table: GoalTable, kind: GoalKind, seed: int, digest: str) -> Draw:
    """Return what the original draws with a seed; from the cache, mapped, once it has been made.

    Args:
        table: The goals of a catalogue.
        kind: Which goals.
        seed: Seeds the generator before anything is drawn.
        digest: A hash that stands for the table.
    """

    def build(draft: Path) -> None:
        _save(draw(table, kind, generator(seed)), draft)

    key = f"{digest}-{kind}-{seed}-{_VERSION}"
    return _load(build_once("webshop-draws", key, build))


class OriginalGoals(Sequence[Goal]):
    """The goals of one run of the original by position, made when they are asked for."""

    def __init__(self, products: Products, table: GoalTable, kind: GoalKind, drawn: Draw) -> None:
        """Address the goals of a kind that a run has drawn."""
        self._products = products
        self._table = table
        self._kind = kind
        self._drawn = drawn
        self.prices = DrawnPrices(products, drawn.prices)

    def __len__(self) -> int:
        """Return how many goals there are."""
        return len(self._drawn.order)

    def __getitem__(self, position: int) -> Goal:  # type: ignore[override]  # slices are not needed
        """Return the goal at a position."""
        return self._make(range(len(self))[position])

    def __iter__(self) -> Iterator[Goal]:
        """Yield the goals in order."""
        return map(self._make, range(len(self)))

    def product_numbers(self) -> NDArray[np.int64]:
        """Return for each position the number of the product that the goal was made from."""
        if self._kind == "human":
            return np.array([row.product for row in self._table.human], np.int64)[self._drawn.order]
        starts = self._table.starts
        return np.searchsorted(starts, self._drawn.order, side="right").astype(np.int64) - 1

    def _make(self, position: int) -> Goal:
        number = int(self._drawn.order[position])
        if self._kind == "human":
            row = self._table.human[number]
            bound = float(self._drawn.bounds[number])
            return human_goal(self._products[row.product], row.instruction, bound)
        home = int(np.searchsorted(self._table.starts, number, side="right")) - 1
        product = self._products[home]
        options = combination(choices(product), number - int(self._table.starts[home]))
        bound, weight = float(self._drawn.bounds[home]), float(self._table.weights[home])
        return synthetic_goal(product, options, bound, weight)


def _save(drawn: Draw, draft: Path) -> None:
    for name in ("prices", "bounds", "order"):
        np.save(draft / f"{name}.npy", getattr(drawn, name))


@lru_cache(maxsize=8)
def _load(entry: Path) -> Draw:
    prices, bounds, order = (
        np.load(entry / f"{name}.npy", mmap_mode="r") for name in ("prices", "bounds", "order")
    )
    return Draw(prices, bounds, order)
