"""What a product costs, and the bound that a goal sets on it.

Most products have one price; of a range the original draws one price when it loads the catalogue.
The bound of a goal is the larger of two draws from the next four multiples of ten dollars above
the price. The original draws all this from the global generator before it is seeded, so that the
texts of its goals differ from process to process. Here every draw comes from a seed, in one of two
ways: `KeyedPrices` draws for each product by itself, so that nothing changes when the catalogue
grows; `prices_in_order` draws in the original's order, so that its recorded episodes are met.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from agentrl.environments.webshop.catalogue import Product

NO_BOUND = 1_000_000.0
"""The bound of a goal whose text names none."""
_STEP, _LAST_STEP, _NEXT = 10.0, 99, 4


class Prices(Protocol):
    """What the products of a shop cost today."""

    def of(self, product: Product) -> float:
        """Return the price of a product in dollars."""
        ...


def draw_price(prices: tuple[float, ...], rng: Random) -> float:
    """Return a product's price in dollars; draws only where there is a range."""
    return prices[0] if len(prices) < 2 else rng.uniform(prices[0], prices[1])


def draw_bound(price: float, rng: Random) -> float:
    """Return a bound above `price`, in dollars; `NO_BOUND`, without drawing, near the top."""
    first = max(1, int(price // _STEP) + 1)
    above = [_STEP * step for step in range(first, min(first + _NEXT, _LAST_STEP + 1))]
    return max(rng.sample(above, 2)) if len(above) > 1 else NO_BOUND


def prices_in_order(ranges: Iterable[tuple[float, ...]], rng: Random) -> list[float]:
    """Return the price of each product, drawn in the order of the catalogue."""
    return [draw_price(prices, rng) for prices in ranges]


@dataclass(frozen=True, slots=True)
class KeyedPrices:
    """Prices and bounds that depend on a seed and the product's own number alone."""

    seed: int

    def of(self, product: Product) -> float:
        """Return the price of a product in dollars."""
        if len(product.prices) < 2:
            return product.prices[0]
        return draw_price(product.prices, Random(f"webshop/price/{self.seed}/{product.asin}"))

    def bound(self, product: Product, goal: str) -> float:
        """Return the bound on the price for one of the product's goals, named by `goal`."""
        key = f"webshop/bound/{self.seed}/{product.asin}/{goal}"
        return draw_bound(self.of(product), Random(key))
