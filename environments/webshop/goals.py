"""What an episode asks for: a product with certain attributes and options below a price.

A goal is made from a product. A synthetic goal is the product's instruction with one combination of
its option values; a human goal is an instruction that a person wrote. The text ends with the bound
on the price, which is drawn (see `prices`), so goals are made from product, number and bound.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal

from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.human import HumanInstruction
from agentrl.environments.webshop.prices import NO_BOUND

GoalKind = Literal["synthetic", "human"]
Choice = tuple[str, str] | str
"""An option asked for: (group, value) in a synthetic goal, the value alone in a human one."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What to buy, and what the reward compares the purchase with."""

    asin: str
    """The product that the goal was made from."""
    text: str
    """The whole instruction, with the bound on the price."""
    name: str
    query: str
    product_category: str
    category: str
    attributes: tuple[str, ...]
    options: tuple[Choice, ...]
    price_upper: float
    """The bound on the price in dollars; a million where the text names none."""
    weight: float
    """How often the original draws the goal, relative to others."""
    kind: GoalKind

    def content(self) -> str:
        """Return a hash of what the goal asks for, equal on every machine (16 hex digits).

        The weight is left out: it depends on the other goals of the catalogue.
        """
        parts = [self.kind, self.asin, self.text, self.attributes, self.options, self.price_upper]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def choices(product: Product) -> dict[str, tuple[str, ...]]:
    """Return the option groups as synthetic goals combine them: sorted, values as they stand."""
    return {group: product.options[group] for group in sorted(product.options)}


def distinct_choices(product: Product) -> dict[str, tuple[str, ...]]:
    """Return the same with each value once: a few products repeat a value."""
    return {group: tuple(dict.fromkeys(values)) for group, values in choices(product).items()}


def combinations(options: dict[str, tuple[str, ...]]) -> int:
    """Return how many synthetic goals the options of a product give."""
    return math.prod(map(len, options.values()))


def combination(options: dict[str, tuple[str, ...]], number: int) -> tuple[tuple[str, str], ...]:
    """Return one combination of option values; the last group changes fastest.

    Raises:
        IndexError: The number is not below `combinations(options)`.
    """
    if not 0 <= number < combinations(options):
        raise IndexError(f"there is no combination {number} of {combinations(options)}")
    chosen: list[tuple[str, str]] = []
    for group, values in reversed(options.items()):
        number, place = divmod(number, len(values))
        chosen.append((group, values[place]))
    return tuple(reversed(chosen))


def synthetic_goal(
    product: Product, options: tuple[tuple[str, str], ...], bound: float, weight: float = 1.0
) -> Goal:
    """Return the goal that asks for a product with these options.

    Args:
        product: A product with an instruction.
        options: One of its combinations of (group, value).
        bound: The bound on the price, `NO_BOUND` for none.
        weight: See `Goal.weight`.
    """
    wanted = ", and ".join(f"{group}: {value}" for group, value in options)
    text = f"{product.instruction}{' with ' + wanted if wanted else ''}{price_clause(bound)}"
    return _goal(product, text, product.instruction_attributes, options, bound, weight, "synthetic")


def human_goal(product: Product, instruction: HumanInstruction, bound: float) -> Goal:
    """Return the goal of an instruction that a person wrote for a product."""
    text = instruction.instruction.strip(".") + price_clause(bound)
    attributes, options = instruction.instruction_attributes, instruction.instruction_options
    return _goal(product, text, attributes, options, bound, 1.0, "human")


def price_clause(bound: float) -> str:
    """Return how an instruction ends that bounds the price; empty without a bound."""
    return "" if bound >= NO_BOUND else f", and price lower than {bound:.2f} dollars"


def _goal(
    product: Product,
    text: str,
    attributes: tuple[str, ...],
    options: tuple[Choice, ...],
    bound: float,
    weight: float,
    kind: GoalKind,
) -> Goal:
    return Goal(
        asin=product.asin,
        text=text,
        name=product.name,
        query=product.query,
        product_category=product.product_category,
        category=product.category,
        attributes=attributes,
        options=options,
        price_upper=bound,
        weight=weight,
        kind=kind,
    )
