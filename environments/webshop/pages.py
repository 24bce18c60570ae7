"""The five kinds of page, as data: what is written on them, what can be clicked, their address.

A page is a list of marks in reading order. Its text is rendered from the marks alone, its HTML from
the page's fields; both say the same, and a test parses the HTML to prove it.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

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


class Card(NamedTuple):
    """A product as the results list it."""

    asin: str
    title: str
    price: str


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Where an episode begins: the instruction and a search bar."""

    instruction: str


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """Ten products of a search."""

    instruction: str
    words: tuple[str, ...]
    """The search, split at each blank."""
    number: int
    """The page of the results, from 1; pages past the end are empty."""
    total: int
    """How many products were found."""
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A product with its options."""

    instruction: str
    words: tuple[str, ...]
    number: int
    product: Product
    chosen: Mapping[str, str]
    """The values chosen so far, by option group, in the order of the first choice."""
    show_attributes: bool = False


@dataclass(frozen=True, slots=True)
class SubPage:
    """One of the texts about a product."""

    instruction: str
    words: tuple[str, ...]
    number: int
    product: Product
    chosen: Mapping[str, str]
    name: str
    """One of `SUB_PAGES`."""


@dataclass(frozen=True, slots=True)
class DonePage:
    """The end: what was bought and the reward."""

    asin: str
    chosen: Mapping[str, str]
    reward: float


Page: TypeAlias = SearchPage | ResultsPage | ItemPage | SubPage | DonePage


def marks(page: Page) -> list[Mark]:
    """Return what is written on a page, in reading order."""
    match page:
        case SearchPage():
            head = ("WebShop", "Instruction: ", page.instruction)
            return [*(_text(words) for words in head), _button(SEARCH)]
        case ResultsPage():
            return _results_marks(page)
        case ItemPage():
            return _item_marks(page)
        case SubPage():
            return [*_head(page.instruction), _button(PREVIOUS), *map(_text, sub_texts(page))]
        case DonePage():
            return [_text(words) for words in done_texts(page)]


def _results_marks(page: ResultsPage) -> list[Mark]:
    found = _head(page.instruction)
    found.append(_text(results_title(page)))
    if page.number > 1:
        found.append(_button(PREVIOUS))
    found.append(_button(NEXT))
    for card in page.cards:
        found += (Mark(Kind.LINK, card.asin), _text(card.title), _text(card.price))
    return found


def _item_marks(page: ItemPage) -> list[Mark]:
    product = page.product
    found = [*_head(page.instruction), _button(PREVIOUS)]
    for group, values in product.options.items():
        found.append(_text(group))
        found += [Mark(Kind.OPTION, value) for value in values]
    found += map(_text, item_texts(product))
    found += map(_button, item_buttons(page))
    return found


def results_title(page: ResultsPage) -> str:
    """Return the line above the results."""
    return f"Page {page.number} (Total results: {page.total})"


def item_texts(product: Product) -> tuple[str, str, str]:
    """Return title, price and rating as the page of a product writes them."""
    return product.title, f"Price: {product.price_text}", f"Rating: {product.rating}"


def item_buttons(page: ItemPage) -> tuple[str, ...]:
    """Return the buttons below a product."""
    return (*(SUB_PAGES if page.show_attributes else SUB_PAGES[:-1]), BUY)


def sub_texts(page: SubPage) -> tuple[str, ...]:
    """Return the paragraphs of a text about a product."""
    product = page.product
    match page.name:
        case "Description":
            return (product.description,)
        case "Features":
            return tuple(f" {bullet}" for bullet in product.bullets)
        case "Reviews":
            return product.reviews
        case _:
            kinds = (product.category, product.query, product.product_category)
            return (*product.attributes, *kinds)


def done_texts(page: DonePage) -> tuple[str, ...]:
    """Return the lines of the last page; the original fills in only four of its fields."""
    none = "None"
    bought = ("Purchased", "asin", page.asin, "options", json_for_html(page.chosen))
    unknown = ("attrs", none, "category", none, "query", none, "product category", none)
    target = ("asin", "options", "attrs", "price upper", "instuction text", "category")
    return (
        "Thank you for shopping with us!",
        "Your code: ",
        none,
        " (Paste it in your MTurk interface.)",
        *bought,
        *unknown,
        "Target",
        *target,
        "product category",
        "query",
        "Goal ",
        none,
        "Reward",
        "Your score (min 0.0, max 1.0)",
        str(page.reward),
        "Reward Details ",
        none,
    )


def json_for_html(chosen: Mapping[str, str]) -> str:
    """Return the chosen options as JSON with sorted keys, without a mark that HTML reads."""
    text = json.dumps(dict(chosen), sort_keys=True)
    for mark, code in (("<", "003c"), (">", "003e"), ("&", "0026"), ("'", "0027")):
        text = text.replace(mark, f"\\u{code}")
    return text


def address_tail(page: ItemPage) -> str:
    """Return the end of a product page's address in the original: search, page and options.

    The original takes an option for chosen when the address has its value in quotes. So a value
    that JSON writes differently (not ASCII, or with a quote) never looks chosen, and one that was
    searched for in quotes always does.
    """
    return f"{'+'.join(page.words)}/{page.number}/{json.dumps(dict(page.chosen))}"


def _head(instruction: str) -> list[Mark]:
    return [_text("Instruction:"), _text(instruction), _button(BACK)]


def _text(text: str) -> Mark:
    return Mark(Kind.TEXT, text)


def _button(text: str) -> Mark:
    return Mark(Kind.BUTTON, text)
