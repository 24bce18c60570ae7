"""The shop as pages need it: products, result lists and layouts, with a bounded memory of each.

One shelf serves all environments of a process. Everything it remembers can be found again in the
memory-mapped shop, so the bounds cost time, never correctness.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from agentrl.environments.webshop.body import PER_PAGE, Card, Item, Listing
from agentrl.environments.webshop.listings import ATTRIBUTE, CATEGORY, QUERY
from agentrl.environments.webshop.shop import Shop, open_shop

FOUND_AT_MOST = 50
"""How many products a search of words finds."""
_PRODUCTS = 1024
_SEARCHES = 2048
_LISTINGS = 64
_PAGES = 1024
_REMEMBERED_LENGTH = 1000
"""Characters of a search; people's have fewer than 200."""


T = TypeVar("T")


class Found(NamedTuple):
    """What a search finds."""

    products: Sequence[int]
    """Numbers in the shop, best first."""
    key: str
    """Equal for searches that find the same."""


class Shelf:
    """What a session asks of the shop."""

    def __init__(self, shop: Shop) -> None:
        """Put a shop behind the shelf."""
        self.shop = shop
        self.card = lru_cache(maxsize=8 * _PRODUCTS)(self._card)
        self.item = lru_cache(maxsize=_PRODUCTS)(self._item)
        self.listing = _remembered(_PAGES, self._listing)
        self._ranked = _remembered(_SEARCHES, self._rank)
        self._listed = lru_cache(maxsize=_LISTINGS)(self._list)

    def find(self, words: tuple[str, ...], seed: str) -> Found:
        """Return the products that a search finds.

        The first word may ask for a listing: `<r>` for any fifty products, `<a>`, `<c>` and `<q>`
        for all with an attribute, a category or a query.

        Args:
            words: The search, split at each blank.
            seed: Decides what `<r>` shows.
        """
        if words[0] == "<r>":
            number = len(self.shop.products)
            picks = random.Random(f"webshop/any/{seed}/{words}").sample(
                range(number), min(FOUND_AT_MOST, number)
            )
            return _found(picks)
        if words[0] in (ATTRIBUTE, QUERY):
            return self._listed(words[0], " ".join(words[1:]).strip())
        if words[0] == CATEGORY:
            return self._listed(words[0], words[1].strip() if len(words) > 1 else "")
        return self._ranked(" ".join(words))

    def _card(self, number: int) -> Card:
        product = self.shop.products[number]
        return Card(product.asin, product.title, product.price_text)

    def _item(self, number: int, show_attributes: bool) -> Item:
        return Item(self.shop.products[number], show_attributes)

    def _listing(self, words: tuple[str, ...], seed: str, number: int) -> Listing:
        products, _ = self.find(words, seed)
        start = (number - 1) * PER_PAGE
        cards = tuple(map(self.card, products[start : start + PER_PAGE]))
        return Listing(number, len(products), cards)

    def _rank(self, words: str) -> Found:
        return _found(self.shop.index.search(words, FOUND_AT_MOST))

    def _list(self, kind: str, wanted: str) -> Found:
        return _found(self.shop.listings.find(kind, wanted))


def _remembered(most: int, find: Callable[..., T]) -> Callable[..., T]:
    """Return a function that remembers what was found last, unless it was asked for at length.

    What is asked for is remembered, too, and a policy may write a book.
    """
    remembering = lru_cache(maxsize=most)(find)

    def found(words: str | tuple[str, ...], *more: Any) -> T:
        is_short = sum(map(len, words)) <= _REMEMBERED_LENGTH
        return (remembering if is_short else find)(words, *more)

    return found


def _found(products: Sequence[int]) -> Found:
    return Found(products, hashlib.sha256(array("i", products[:]).tobytes()).hexdigest()[:16])


@lru_cache(maxsize=8)
def shelf_of(folder: Path) -> Shelf:
    """Return the shelf of the shop in a folder; one per process.

    Raises:
        DataError: The data is missing or damaged.
    """
    return Shelf(open_shop(folder))
