"""The shop as pages need it: products, result lists and layouts, with a bounded memory of each.

One shelf serves all environments of a process. Everything it remembers can be found again in the
memory-mapped shop, so the bounds cost time, never correctness.
"""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

from agentrl.environments.webshop.shop import Shop, open_shop

from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.pages import Card

FOUND_AT_MOST = 50
"""How many products a search of words finds."""
_PRODUCTS = 4096
_SEARCHES = 2048
_LISTINGS = 64


class Shelf:
    """What a session asks of the shop."""

    def __init__(self, shop: Shop) -> None:
        """Put a shop behind the shelf."""
        self.shop = shop
        self.product = lru_cache(maxsize=_PRODUCTS)(self._product)
        self.card = lru_cache(maxsize=2 * _PRODUCTS)(self._card)
        self._ranked = lru_cache(maxsize=_SEARCHES)(self._rank)
        self._listed = lru_cache(maxsize=_LISTINGS)(self._list)

    def find(self, words: tuple[str, ...], seed: str) -> tuple[int, ...]:
        """Return the numbers of the products that a search finds, best first.

        The first word may ask for a listing: `<r>` for any fifty products, `<a>`, `<c>` and `<q>`
        for all with an attribute, a category or a query.

        Args:
            words: The search, split at each blank.
            seed: Decides what `<r>` shows.
        """
        if words[0] == "<r>":
            number = len(self.shop.products)
            return tuple(random.Random(seed).sample(range(number), min(FOUND_AT_MOST, number)))
        if words[0] in ("<a>", "<q>"):
            return self._listed(words[0], " ".join(words[1:]).strip())
        if words[0] == "<c>":
            return self._listed(words[0], words[1].strip() if len(words) > 1 else "")
        return self._ranked(" ".join(words))

    def _product(self, number: int) -> Product:
        return self.shop.products[number]

    def _card(self, number: int) -> Card:
        product = self.product(number)
        return Card(product.asin, product.title, product.price_text)

    def _rank(self, words: str) -> tuple[int, ...]:
        return tuple(self.shop.index.search(words, FOUND_AT_MOST))

    def _list(self, kind: str, wanted: str) -> tuple[int, ...]:
        products = self.shop.products
        numbers = range(len(products))
        return tuple(i for i in numbers if wanted in _labels(kind, products[i]))


def _labels(kind: str, product: Product) -> tuple[str, ...]:
    if kind == "<a>":
        return product.attributes
    return (product.category,) if kind == "<c>" else (product.query,)


@lru_cache(maxsize=8)
def shelf_of(folder: Path) -> Shelf:
    """Return the shelf of the shop in a folder; one per process.

    Raises:
        DataError: The data is missing or damaged.
    """
    return Shelf(open_shop(folder))
