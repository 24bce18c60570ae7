"""The postings of an index and the terms of a query, as search sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Documents = NDArray[np.integer[Any]]
Scores = NDArray[np.float32]
Sums = NDArray[np.float64]

STEPS = 255
"""In so many steps the table of common terms keeps what a term adds."""
ROUNDING = 1e-6
"""More than the relative error of single precision."""
_SPARE = 1e-3
MOST_EXCESS = 1 + _SPARE
"""How many steps a value in the table may be too great."""


@dataclass(frozen=True, slots=True)
class Postings:
    """The postings of all terms, one after the other, and a table of the common ones."""

    documents: NDArray[np.int32]
    """The document of each posting; ascending within a term."""
    impacts: NDArray[np.unsignedinteger[Any]]
    """Where in `ratios` the posting's frequency / norm stands."""
    ratios: NDArray[np.float32]
    """All values of frequency / norm, ascending."""
    ranks: NDArray[np.int32]
    """Each document's place among equals."""
    common: NDArray[np.uint8]
    """What a common term adds to each document, a row per term; see `steps`."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a query: its postings lie from `start` to `end`."""

    start: int
    end: int
    weight: np.float32
    best_impact: int
    """The greatest impact of its postings."""
    row: int | None = None
    """Its row in the table of common terms."""

    def __len__(self) -> int:
        """Return how many documents have it."""
        return self.end - self.start


def steps(ratios: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return what values of frequency / norm add, in `STEPS` parts of the weight, rounded up.

    It is never less than the score in single precision is, and at most `MOST_EXCESS` steps more.
    """
    shares = ratios.astype(np.float64) / (1 + ratios.astype(np.float64))
    return np.clip(np.ceil(shares * STEPS + _SPARE), 1, STEPS).astype(np.uint8)
