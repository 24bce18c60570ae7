"""Random draws that depend on a seed alone, on every version of Python."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Dice:
    """A stream of random draws.

    Only `random.Random.random` is promised to stay the same in later versions of Python, so every
    draw is derived from it. It is also much faster than a numpy generator for single draws.
    """

    def __init__(self, seed: str) -> None:
        """Start the stream that a text names."""
        digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
        self._random = random.Random(int.from_bytes(digest, "little")).random

    def chance(self, percent: float) -> bool:
        """Return True in so many of a hundred cases."""
        return self._random() * 100 < percent

    def between(self, fewest: int, most: int) -> int:
        """Return a whole number of a range, both ends included."""
        return fewest + int(self._random() * (most - fewest + 1))

    def pick(self, items: Sequence[_T]) -> _T:
        """Return one of the items."""
        return items[int(self._random() * len(items))]

    def weighted(self, items: Sequence[_T], weights: Sequence[int]) -> _T:
        """Return one of the items, by weight."""
        left = self._random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            left -= weight
            if left < 0:
                return item
        return items[-1]

    def sample(self, items: Sequence[_T], count: int) -> list[_T]:
        """Return so many of the items, each at most once, in random order."""
        order = sorted(range(len(items)), key=lambda _: self._random())
        return [items[index] for index in order[:count]]
