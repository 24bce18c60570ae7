"""The five kinds of page: an instruction above a body, and what this buyer has done.

Text and HTML are rendered from the same page and say the same; a test parses the HTML to prove it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from agentrl.environments.webshop.body import (
    BACK,
    PREVIOUS,
    SEARCH,
    Body,
    Item,
    Listing,
    button,
    text,
)
from agentrl.environments.webshop.catalogue import Product

_SEARCH_BODY = Body([button(SEARCH)])


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Where an episode begins: the instruction and a search bar."""

    instruction: str

    @property
    def body(self) -> Body:
        """Return what stands below the instruction."""
        return _SEARCH_BODY


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """Ten products of a search."""

    instruction: str
    words: tuple[str, ...]
    """The search, split at each blank."""
    body: Listing


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A product with its options."""

    instruction: str
    words: tuple[str, ...]
    number: int
    """The page of the results from which the product was opened."""
    body: Item
    chosen: Mapping[str, str]
    """The values chosen so far, by option group, in the order of the first choice."""

    @property
    def product(self) -> Product:
        """Return the product."""
        return self.body.product


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

    @property
    def body(self) -> Body:
        """Return what stands below the instruction."""
        return Body([button(BACK), button(PREVIOUS), *map(text, sub_texts(self))])


@dataclass(frozen=True, slots=True)
class DonePage:
    """The end: what was bought and the reward."""

    asin: str
    chosen: Mapping[str, str]
    reward: float

    @property
    def body(self) -> Body:
        """Return the whole page."""
        return Body(map(text, done_texts(self)))


Page: TypeAlias = SearchPage | ResultsPage | ItemPage | SubPage | DonePage


def head(page: Page) -> tuple[str, ...]:
    """Return the texts above the body."""
    match page:
        case SearchPage():
            return "WebShop", "Instruction: ", page.instruction
        case DonePage():
            return ()
        case _:
            return "Instruction:", page.instruction


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
    """Return the lines of the last page; the original fills in only a few of its fields."""
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
    packed = json.dumps(dict(chosen), sort_keys=True)
    for mark, code in (("<", "003c"), (">", "003e"), ("&", "0026"), ("'", "0027")):
        packed = packed.replace(mark, f"\\u{code}")
    return packed


def address_tail(page: ItemPage) -> str:
    """Return the end of a product page's address in the original: search, page and options.

    The original takes an option for chosen when the address has its value in quotes. So a value
    that JSON writes differently (not ASCII, or with a quote) never looks chosen, and one that was
    searched for in quotes always does.
    """
    return f"{'+'.join(page.words)}/{page.number}/{json.dumps(dict(page.chosen))}"
