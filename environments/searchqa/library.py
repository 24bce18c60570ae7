"""Passages and how they are found: the contract, and a small library in pure Python."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

_WORD = re.compile(r"[^\W_]+")
LONGEST_QUERY = 2000
"""Characters of a query that are read."""
_MOST_WORDS = 64
_TITLE_WEIGHT = 3
_K1, _B = 1.5, 0.75

_STOP_WORDS = (
    "a an and are as at be but by did do does for from had has have how if in into is it its not "
    "of on or s such that the their then there these they this to was were what when where which "
    "who whom whose why will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that no search looks for, unless it has no others."""


class Passage(NamedTuple):
    """A short text about what its title names."""

    title: str
    text: str

    def __str__(self) -> str:
        """Return the passage as it is shown."""
        return f"{self.title}: {self.text}"


class Library(Protocol):
    """Passages that can be searched."""

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages; searches tell them by position."""
        ...

    def search(self, query: str, count: int) -> tuple[int, ...]:
        """Return the positions of up to `count` passages that share a word, best first.

        Passages whose title is the query stand before all others; of equally good ones the
        earlier stands first.
        """
        ...


def words_of(text: str) -> list[str]:
    """Return the words of a text as searches compare them: letters and digits, lower case."""
    return _WORD.findall(text.lower())


def query_words(query: str) -> list[str]:
    """Return the words that a query looks for, each once; of a very long query the first ones."""
    words = list(dict.fromkeys(words_of(query[:LONGEST_QUERY])))
    return ([word for word in words if word not in STOP_WORDS] or words)[:_MOST_WORDS]


def title_key(text: str) -> str:
    """Return text that is equal for a title and a query that names it."""
    return " ".join(words_of(text[:LONGEST_QUERY]))


class SmallLibrary:
    """A few dozen passages, ranked by BM25; the words of a title count three times."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        """Take the passages; they are indexed when first searched."""
        self.passages = tuple(passages)

    def search(self, query: str, count: int) -> tuple[int, ...]:
        """Return the positions of the best passages; see `Library.search`."""
        scores: dict[int, float] = {}
        for word in query_words(query):
            for number, weight in self._weights.get(word, ()):
                scores[number] = scores.get(number, 0.0) + weight
        named = title_key(query)
        order = sorted(scores, key=lambda n: (self._titles[n] != named, -scores[n], n))
        return tuple(order[:count])

    @cached_property
    def _titles(self) -> list[str]:
        return [title_key(passage.title) for passage in self.passages]

    @cached_property
    def _weights(self) -> dict[str, list[tuple[int, float]]]:
        """What each word adds to the passages that have it."""
        counts = [
            Counter(words_of(passage.title) * _TITLE_WEIGHT + words_of(passage.text))
            for passage in self.passages
        ]
        lengths = [count.total() for count in counts]
        mean = sum(lengths) / max(len(lengths), 1)
        found: dict[str, list[tuple[int, float]]] = {}
        for number, (count, length) in enumerate(zip(counts, lengths, strict=True)):
            norm = _K1 * (1 - _B + _B * length / mean)
            for word, times in count.items():
                found.setdefault(word, []).append((number, times / (times + norm)))
        for holders in found.values():
            rarity = math.log(1 + (len(counts) - len(holders) + 0.5) / (len(holders) + 0.5))
            holders[:] = [(number, rarity * weight) for number, weight in holders]
        return found
