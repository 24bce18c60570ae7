"""What a buyer reads out of an instruction: words to search for, options and a bound on the price.

Only the text is read, so whoever reads the first page could do the same. A synthetic instruction
ends in `… with color: red, and size: 8, and price lower than 40.00 dollars`; one by a person
names its options anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

_PRICE = re.compile(r",? and price lower than (\d{1,9}\.\d\d) dollars$")
_OPENING = "Find me "
_WITH, _AND, _IS = " with ", ", and ", ": "
_NOT_SEARCHABLE = re.compile(r"[\[\]\s]")


@dataclass(frozen=True, slots=True)
class Wish:
    """What an instruction asks for."""

    words: str
    """What to search for: the instruction without opening and price, of options the values."""
    options: tuple[tuple[str, str], ...]
    """Option group and value, where the instruction lists them."""
    bound: float
    """What it may cost, in dollars; infinite where the instruction does not say."""
    text: str
    """The whole instruction, lower case."""

    def choices(self, options: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Return the value to choose in each group of a product that the instruction speaks of.

        Args:
            options: What the product offers, by group.
        """
        listed = {group: value for group, value in self.options if value in options.get(group, ())}
        if self.options:
            return listed
        named = {group: self._named(values) for group, values in options.items()}
        return {group: value for group, value in named.items() if value}

    def missing(self, options: Mapping[str, Sequence[str]]) -> int:
        """Return how many of the listed options a product does not offer."""
        return len(self.options) - len(self.choices(options)) if self.options else 0

    def _named(self, values: Sequence[str]) -> str:
        """Return the longest of some values that the instruction names as whole words."""
        found = [value for value in values if _names(self.text, value)]
        return max(found, key=len, default="")


@lru_cache(maxsize=4096)
def read_wish(instruction: str) -> Wish:
    """Return what an instruction asks for."""
    text = instruction.strip()
    price = _PRICE.search(text[-60:])
    bound = float(price.group(1)) if price else float("inf")
    if price:
        text = text[: len(text) - len(price.group())]
    words, options = _split_options(text)
    values = " ".join(value for _, value in options)
    words = searchable(f"{words.removeprefix(_OPENING)} {values}") or "anything"
    return Wish(words, options, bound, instruction.lower())


def searchable(text: str) -> str:
    """Return a text as words for `search[…]`: lower case, on one line, without brackets."""
    return " ".join(_NOT_SEARCHABLE.sub(" ", text.lower()).split())


def _split_options(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Split off the list of options at the end: the last `with` that a `group: value` follows."""
    at = text.rfind(_WITH)
    while at >= 0:
        first, *more = text[at + len(_WITH) :].split(_AND)
        group, is_option, value = first.partition(_IS)
        if is_option and "," not in group:
            return text[:at], _options(group, value, more)
        at = text.rfind(_WITH, 0, at)
    return text, ()


def _options(group: str, value: str, more: list[str]) -> tuple[tuple[str, str], ...]:
    options = [(group, value)]
    for part in more:
        group, is_option, value = part.partition(_IS)
        if is_option:
            options.append((group, value))
        else:
            options[-1] = (options[-1][0], f"{options[-1][1]}{_AND}{part}")
    return tuple(options)


def _names(text: str, value: str) -> bool:
    at = text.find(value) if value else -1
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(value) : at + len(value) + 1]
        if not before.isalnum() and not after.isalnum():
            return True
        at = text.find(value, at + 1)
    return False
