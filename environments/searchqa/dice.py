"""Random draws that depend on a text alone, on every machine and every version of Python."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Dice:
    """A stream of random draws; only `random.random` is promised never to change."""

    def __init__(self, seed: str) -> None:
        """Start the stream that a text names."""
        digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
        self._next = random.Random(int.from_bytes(digest, "little")).random

    def pick(self, items: Sequence[_T]) -> _T:
        """Return one of the items."""
        return items[int(self._next() * len(items))]

    def sample(self, items: Sequence[_T], count: int) -> list[_T]:
        """Return so many of the items, each at most once, in random order."""
        order = sorted(range(len(items)), key=lambda _: self._next())
        return [items[index] for index in order[:count]]
