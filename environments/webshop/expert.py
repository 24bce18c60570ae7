"""Two experts: one shops like a person who reads the pages, the other knows what is wanted.

Both are asked for the next action at any page of anybody's episode. What they remember is a value
that never changes, so that a snapshot can hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from agentrl.environments.webshop.actions import click, read_action, search
from agentrl.environments.webshop.body import (
    BACK,
    BUY,
    NEXT,
    PER_PAGE,
    PREVIOUS,
    SEARCH,
    SUB_PAGES,
    Card,
)
from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.goals import Goal
from agentrl.environments.webshop.pages import (
    DonePage,
    ItemPage,
    Page,
    ResultsPage,
    SearchPage,
    SubPage,
)
from agentrl.environments.webshop.shelf import Shelf
from agentrl.environments.webshop.wish import read_wish, searchable
from agentrl.errors import TaskError

_BUTTONS = frozenset(text.lower() for text in (BACK, PREVIOUS, BUY, SEARCH, *SUB_PAGES))


class Seen(NamedTuple):
    """A product that was opened."""

    asin: str
    page: int
    """The page of the results that lists it."""
    faults: int
    """How many of the options asked for it does not offer."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the shopper has seen since the search."""

    seen: tuple[Seen, ...] = ()
    exhausted: bool = False
    """Whether the results hold nothing more worth a look."""

    def has_seen(self, asin: str) -> bool:
        """Return whether a product was opened."""
        return any(one.asin == asin for one in self.seen)


class Expert(Protocol):
    """Advises what to do next."""

    memory: Memory

    def observe(self, page: Page) -> None:
        """Take note of a page that is shown, whoever went there."""
        ...

    def act(self, page: Page) -> str | None:
        """Return what to do on a page; None when the episode is over."""
        ...


class Shopper:
    """Searches with the instruction's words, opens likely products, buys the first that suits.

    It knows only what the pages show. When it has looked at enough products, and none offers all
    the options asked for, it settles for the best of them.
    """

    def __init__(self, instruction: str, *, patience: int = 5, pages: int = 1) -> None:
        """Read the instruction.

        Args:
            instruction: What is to be bought.
            patience: How many products to look at.
            pages: How many pages of results to look at.
        """
        self.wish = read_wish(instruction)
        self.memory = Memory()
        self._patience = patience
        self._pages = pages

    def observe(self, page: Page) -> None:
        """Remember what a page shows."""
        if isinstance(page, ItemPage) and not self.memory.has_seen(page.product.asin):
            faults = self.wish.missing(page.product.options)
            seen = (*self.memory.seen, Seen(page.product.asin, page.number, faults))
            self.memory = replace(self.memory, seen=seen)
        elif isinstance(page, ResultsPage) and self._is_mine(page):
            ends = page.body.number >= self._pages or not page.body.cards
            if ends and not self._likely(page):
                self.memory = replace(self.memory, exhausted=True)

    def act(self, page: Page) -> str | None:
        """Return what to do on a page."""
        match page:
            case SearchPage():
                return search(self.wish.words)
            case ResultsPage():
                return self._pick(page) if self._is_mine(page) else click(BACK)
            case ItemPage():
                if self._suits(page.product):
                    return choose_or_buy(page, self.wish.choices(page.product.options))
                return click(PREVIOUS)
            case SubPage():
                return click(PREVIOUS)
            case DonePage():
                return None

    def _suits(self, product: Product) -> bool:
        suits = any(one.asin == product.asin and not one.faults for one in self.memory.seen)
        return suits or product.asin == getattr(self._settled(), "asin", None)

    def _settled(self) -> Seen | None:
        """Return the product to buy once enough were looked at, or None."""
        seen = self.memory.seen
        if not seen or not (self.memory.exhausted or len(seen) >= self._patience):
            return None
        return min(seen, key=lambda one: one.faults)

    def _pick(self, page: ResultsPage) -> str:
        settled = self._settled()
        if settled is not None:
            return _return_to(settled, page)
        likely = self._likely(page)
        if likely:
            return click(likely[0].asin)
        if page.body.number < self._pages and page.body.cards:
            return click(NEXT)
        return click(page.body.cards[0].asin if page.body.cards else BACK)

    def _likely(self, page: ResultsPage) -> list[Card]:
        return [
            card
            for card in page.body.cards
            if lowest_price(card) <= self.wish.bound and not self.memory.has_seen(card.asin)
        ]

    def _is_mine(self, page: ResultsPage) -> bool:
        return " ".join(page.words) == self.wish.words


class Oracle:
    """Knows the product and its options: searches for its title and buys it."""

    def __init__(self, shelf: Shelf, goal: Goal) -> None:
        """Look up where a search for the goal's title lists its product.

        Raises:
            TaskError: The shop does not have the product.
        """
        self.memory = Memory()
        number = shelf.shop.products.find(goal.asin)
        if number is None:
            raise TaskError(f"the shop has no product {goal.asin!r}, which the goal asks for")
        self._asin = goal.asin
        self._wanted = dict(one for one in goal.options if isinstance(one, tuple))
        self._named = [one for one in goal.options if isinstance(one, str)]
        self._words, self._page = _findable(shelf, number)

    def observe(self, page: Page) -> None:
        """Learn nothing: everything is known."""

    def act(self, page: Page) -> str | None:
        """Return what to do on a page."""
        match page:
            case SearchPage():
                return search(self._words)
            case ResultsPage():
                return self._pick(page)
            case ItemPage() if page.product.asin == self._asin:
                return choose_or_buy(page, self._choices(page.product))
            case DonePage():
                return None
            case SubPage() if page.product.asin == self._asin:
                return click(PREVIOUS)
            case _:
                return click(BACK)

    def _pick(self, page: ResultsPage) -> str:
        if any(card.asin == self._asin for card in page.body.cards):
            return click(self._asin)
        if " ".join(page.words) != self._words:
            return click(BACK)
        return click(NEXT if page.body.number < self._page else PREVIOUS)

    def _choices(self, product: Product) -> dict[str, str]:
        named = {
            group: value
            for group, values in product.options.items()
            for value in values
            if value in self._named
        }
        return {**named, **self._wanted}


def choose_or_buy(page: ItemPage, choices: Mapping[str, str]) -> str:
    """Return the click on the next option to choose, or the purchase when all are chosen.

    A value that cannot be chosen is passed over: one that reads like a button, or that two groups
    share and so counts for the last of them.
    """
    groups = {value: group for group, values in page.product.options.items() for value in values}
    for group, value in choices.items():
        action = click(value)
        if page.chosen.get(group) == value or groups.get(value) != group or value in _BUTTONS:
            continue
        if read_action(action) == ("click", value):
            return action
    return click(BUY)


def lowest_price(card: Card) -> float:
    """Return the least that a product may cost, in dollars, from what its card says."""
    try:
        return float(card.price.partition(" ")[0].removeprefix("$"))
    except ValueError:
        return 0.0


def _return_to(one: Seen, page: ResultsPage) -> str:
    if any(card.asin == one.asin for card in page.body.cards):
        return click(one.asin)
    if one.page == page.body.number:
        return click(BACK)
    return click(PREVIOUS if one.page < page.body.number else NEXT)


def _findable(shelf: Shelf, number: int) -> tuple[str, int]:
    """Return words that find a product, and the page of the results that lists it."""
    product = shelf.shop.products[number]
    for text in (product.title, f"{product.title} {product.query}", product.description):
        words = searchable(text)
        found = shelf.find(tuple(words.split(" ")), "").products if words else ()
        if number in found:
            return words, found.index(number) // PER_PAGE + 1
    words = f"<q> {product.query}"
    return words, shelf.find(tuple(words.split(" ")), "").products.index(number) // PER_PAGE + 1
