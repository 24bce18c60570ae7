"""The part of a page that is the same for every buyer: its marks, and what follows from them.

A body never changes, so the bodies of products and of result lists are kept and shared (see
`shelf`), and what is rendered from them is rendered once.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from agentrl.environments.webshop.actions import click, read_action
from agentrl.environments.webshop.catalogue import Product

BACK = "Back to Search"
PREVIOUS = "< Prev"
NEXT = "Next >"
BUY = "Buy Now"
SEARCH = "Search"
SUB_PAGES = ("Description", "Features", "Reviews", "Attributes")
"""What can be read about a product; the last has a button only where attributes are shown."""
PER_PAGE = 10
"""Products on a page of results."""
SEPARATOR = " [SEP] "
"""Stands between the texts of a page in mode `text`."""
_BLANKS = " \n\t\f\r"


class Kind(enum.IntEnum):
    """What a mark is."""

    TEXT = 0
    BUTTON = 1
    OPTION = 2
    LINK = 3


class Mark(NamedTuple):
    """One piece of text on a page."""

    kind: Kind
    text: str
    group: str = ""
    """The group of an option."""


class Card(NamedTuple):
    """A product as the results list it."""

    asin: str
    title: str
    price: str


class Body:
    """What is written on a page below the instruction."""

    def __init__(self, marks: Iterable[Mark]) -> None:
        """Take the marks in reading order."""
        self._marks = tuple(marks)
        self.shown = tuple(mark for mark in self._marks if is_shown(mark.text))

    @cached_property
    def text(self) -> str:
        """Return it as mode `text` shows it."""
        return SEPARATOR.join([mark.text.strip() for mark in self.shown])

    @cached_property
    def rich(self) -> str:
        """Return it as mode `text_rich` shows it to a buyer who has chosen and visited nothing."""
        return "\n".join([*map(rich_line, self.shown), ""])

    @cached_property
    def controls(self) -> dict[str, str]:
        """Return what can be clicked, in the original's order, with the group of each option.

        First the buttons, then links, in the order of the page and in lower case; then the option
        values as they are. A value that two groups share stands where it came first but belongs to
        the last of them, and one that equals a button shadows it.
        """
        found = {mark.text.lower(): "" for mark in self._marks if mark.kind is Kind.BUTTON}
        found.update({mark.text.lower(): "" for mark in self._marks if mark.kind is Kind.LINK})
        found.update({m.text: m.group for m in self._marks if m.kind is Kind.OPTION})
        return found

    @cached_property
    def clicks(self) -> tuple[str, ...]:
        """Return the clicks that can be written as actions, each control named as it is shown.

        Case means nothing in an action, and a policy that copies from the page has it easier than
        one that must write `b09…` for `B09…`. Brackets in a name can keep it from being written.
        """
        shown = {m.text.lower(): m.text for m in self._marks if m.kind in (Kind.BUTTON, Kind.LINK)}
        clickable = (name for name in self.controls if name != SEARCH.lower())
        return tuple(
            click(shown.get(one, one))
            for one in clickable
            if read_action(click(one)) == ("click", one)
        )


class Item(Body):
    """A product's own page."""

    def __init__(self, product: Product, show_attributes: bool = False) -> None:
        """Lay out the page of a product."""
        self.product = product
        self.buttons = (*(SUB_PAGES if show_attributes else SUB_PAGES[:-1]), BUY)
        self.texts = (
            product.title,
            f"Price: {product.price_text}",
            f"Rating: {product.rating}",
        )
        marks = [button(BACK), button(PREVIOUS)]
        for group, values in product.options.items():
            marks.append(text(group))
            marks += [Mark(Kind.OPTION, value, group) for value in values]
        super().__init__([*marks, *map(text, self.texts), *map(button, self.buttons)])


class Listing(Body):
    """One page of the results of a search."""

    def __init__(self, number: int, total: int, cards: tuple[Card, ...]) -> None:
        """Lay out a page of results.

        Args:
            number: The page, from 1; pages past the end are empty.
            total: How many products were found.
            cards: Those on this page.
        """
        self.number = number
        self.total = total
        self.cards = cards
        self.asins = frozenset(card.asin for card in cards)
        self.title = f"Page {number} (Total results: {total})"
        marks = [button(BACK), text(self.title)]
        marks += [button(PREVIOUS), button(NEXT)] if number > 1 else [button(NEXT)]
        for card in cards:
            marks += [Mark(Kind.LINK, card.asin), text(card.title), text(card.price)]
        super().__init__(marks)


def text(words: str) -> Mark:
    """Return a mark that cannot be clicked."""
    return Mark(Kind.TEXT, words)


def button(words: str) -> Mark:
    """Return a button."""
    return Mark(Kind.BUTTON, words)


def rich_line(mark: Mark, clicked: bool = False) -> str:
    """Return a mark as mode `text_rich` shows it, `clicked` or not."""
    word = "clicked button" if clicked else "button"
    match mark.kind:
        case Kind.TEXT:
            return text_line(mark.text)
        case Kind.BUTTON:
            return f"[button] {mark.text} [button_]"
        case Kind.LINK:
            return f"\n[{word}] {mark.text} [{word}_]"
        case Kind.OPTION:
            return f"  [{word}] {mark.text} [{word}_]"


def text_line(words: str) -> str:
    """Return a text as mode `text_rich` shows it: unchanged, but blanks alone as one."""
    return words if words.strip(_BLANKS) else " "


def is_shown(words: str) -> bool:
    """Return whether the original shows a text: not if empty, nor blank with a line end in it."""
    return bool(words) and ("\n" not in words or bool(words.strip(_BLANKS)))
