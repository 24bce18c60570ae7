"""The reward for a purchase, as the original computes it, quirks included.

    reward = type * (attribute hits + option hits + [price <= bound]) / (attributes + options + 1)

Attributes and options are compared by `thefuzz`'s token set ratio, which must be above 85;
rapidfuzz computes the same number. Quirks that are kept: the options of a synthetic goal are
compared as (group, value) pairs written out, so that only a plain colour is recognised as one and
the group's name counts as words of the option; one chosen value may meet several options; a name
that shares no noun with the goal's makes the whole reward 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.colours import plain_colour
from agentrl.environments.webshop.goals import Goal
from agentrl.environments.webshop.nouns import Tagger
from agentrl.errors import MissingExtraError

_SIMILAR = 85
_NO_NOUNS_SCORE = 0.2
_CATEGORY_MARK = "›"  # noqa: RUF001 - the mark itself
_LATIN_1 = dict.fromkeys(range(128, 256))
SOLVED = 1.0 - 1e-9
"""Rewards from here on count as 1."""


@dataclass(frozen=True, slots=True)
class TypeScore:
    """How alike the kinds of two products are."""

    reward: float
    query_match: bool
    category_match: bool
    title_score: float


@dataclass(frozen=True, slots=True)
class Score:
    """The reward for a purchase and all that it is made of."""

    reward: float
    """From 0 to 1."""
    r_type: float
    query_match: bool
    category_match: bool
    title_score: float
    attribute_hits: int
    attributes: int
    option_hits: int
    options: int
    r_price: bool
    same_product: bool
    """Whether the very product was bought that the goal was made from."""

    @property
    def success(self) -> bool:
        """Whether everything asked for was bought."""
        return self.reward >= SOLVED

    def parts(self) -> dict[str, Any]:
        """Return the parts under the original's names; option parts only where options count."""
        total = self.attributes + self.options + 1
        parts: dict[str, Any] = {
            "r_type": self.r_type,
            "r_att": self.attribute_hits / self.attributes if self.attributes else 0.0,
            "w_att": self.attributes / total,
            "query_match": self.query_match,
            "category_match": self.category_match,
            "title_score": self.title_score,
        }
        if self.options:
            parts |= {
                "r_option": self.option_hits / self.options,
                "w_option": self.options / total,
            }
        return parts | {"r_price": self.r_price, "w_price": 1 / total}


def score(
    goal: Goal, product: Product, chosen: Mapping[str, str], price: float, tagger: Tagger
) -> Score:
    """Return what buying a product is worth.

    Args:
        goal: What was asked for.
        product: What was bought.
        chosen: The option values that were chosen, by group.
        price: What the product costs, in dollars.
        tagger: Finds the nouns in the products' names.

    Raises:
        MissingExtraError: rapidfuzz is not installed.
    """
    kind = type_score(goal, product, tagger)
    attribute_hits = count_attributes(goal.attributes, product)
    option_hits = count_options(goal.options, list(chosen.values()))
    within = price <= goal.price_upper
    total = len(goal.attributes) + len(goal.options) + 1
    return Score(
        reward=(attribute_hits + option_hits + within) / total * kind.reward,
        r_type=kind.reward,
        query_match=kind.query_match,
        category_match=kind.category_match,
        title_score=kind.title_score,
        attribute_hits=attribute_hits,
        attributes=len(goal.attributes),
        option_hits=option_hits,
        options=len(goal.options),
        r_price=within,
        same_product=product.asin == goal.asin,
    )


def type_score(goal: Goal, product: Product, tagger: Tagger) -> TypeScore:
    """Return how alike the kinds of the goal's and the bought product are."""
    query = product.query == goal.query
    shared = _categories(product.product_category) & _categories(goal.product_category)
    category = len(shared) >= 2
    title = title_score(tagger(goal.name), tagger(product.name))
    reward = 1.0 if query or category or title > 0.2 else 0.5
    if title < 0.1:
        reward = 0.1
    if title == 0.0:
        reward = 0.0
    return TypeScore(reward, query, category, title)


def title_score(wanted: Sequence[str], bought: Iterable[str]) -> float:
    """Return the share of the goal's nouns in the bought name; a noun named twice counts twice."""
    return len(set(wanted).intersection(bought)) / len(wanted) if wanted else _NO_NOUNS_SCORE


def count_attributes(wanted: Iterable[str], product: Product) -> int:
    """Return how many of the attributes wanted a product has, by its labels or in its texts."""
    texts: tuple[str, ...] | None = None
    hits = 0
    for attribute in wanted:
        if any(is_similar(label, attribute) for label in product.attributes):
            hits += 1
            continue
        if texts is None:
            bullets = " ".join(product.bullets)
            texts = (product.title.lower(), bullets.lower(), product.description.lower())
        hits += any(attribute in text for text in texts)
    return hits


def count_options(wanted: Iterable[tuple[str, str] | str], chosen: Iterable[str]) -> int:
    """Return how many of the options wanted are met by some chosen value."""
    values = [_bare_colour(str(value)) for value in chosen]
    return sum(any(is_similar(value, _bare_colour(goal)) for value in values) for goal in wanted)


def is_similar(one: str | tuple[str, str], other: str | tuple[str, str]) -> bool:
    """Return whether two texts share their words well enough; pairs are written out."""
    ratio = _token_set_ratio()
    return round(ratio(_words(one), _words(other))) > _SIMILAR


# The same values, attributes and names come again and again.
_bare_colour = lru_cache(maxsize=1 << 16)(plain_colour)


@lru_cache(maxsize=1 << 16)
def _words(text: str | tuple[str, str]) -> str:
    """Return a text as `thefuzz` compares it: Latin-1 letters dropped, lower case, words only."""
    from rapidfuzz.utils import default_process

    return default_process(str(text).translate(_LATIN_1))


@lru_cache(maxsize=1 << 14)
def _categories(path: str) -> frozenset[str]:
    return frozenset(level.strip() for level in path.split(_CATEGORY_MARK))


@cache
def _token_set_ratio() -> Callable[[str, str], float]:
    try:
        from rapidfuzz.fuzz import token_set_ratio
    except ImportError as error:
        raise MissingExtraError("rapidfuzz", "webshop", "WebShop's reward") from error
    return token_set_ratio
