"""The best documents of a query, found without scoring what cannot be among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.environments.webshop.bm25 import term_scores

Documents = NDArray[np.integer[Any]]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Postings:
    """The postings of all terms, one after the other."""

    documents: NDArray[np.int32]
    """The document of each posting; ascending within a term."""
    impacts: NDArray[np.unsignedinteger[Any]]
    """Where in `ratios` the posting's frequency / norm stands."""
    ratios: NDArray[np.float32]
    """All values of frequency / norm, ascending."""
    ranks: NDArray[np.int32]
    """Each document's place among equals."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a query: its postings lie from `start` to `end`."""

    start: int
    end: int
    weight: np.float32
    best_impact: int
    """The greatest impact of its postings."""


def best(postings: Postings, terms: list[Term], k: int) -> tuple[Documents, Scores]:
    """Return the k documents of the highest scores, best first, and their scores."""
    if not terms or k <= 0:
        return np.empty(0, np.int32), np.empty(0, np.float32)
    documents, sums = exhaustive(postings, terms)
    return select(documents, sums.astype(np.float32), postings.ranks, k)


def exhaustive(postings: Postings, terms: list[Term]) -> tuple[Documents, NDArray[np.float64]]:
    """Return all documents that have any of the terms, and their scores in double precision."""
    documents = np.concatenate([postings.documents[t.start : t.end] for t in terms])
    impacts = np.concatenate([postings.impacts[t.start : t.end] for t in terms])
    weights = np.repeat([t.weight for t in terms], [t.end - t.start for t in terms])
    scores = term_scores(weights, postings.ratios[impacts])
    sums = np.bincount(documents, scores).astype(np.float64, copy=False)
    found: Documents = np.flatnonzero(sums)
    return found, sums[found]


def select(
    documents: Documents, scores: Scores, ranks: NDArray[np.int32], k: int
) -> tuple[Documents, Scores]:
    """Return the k best of some documents, best first; of equal scores the lesser rank wins."""
    if len(documents) > k:
        limit = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > limit)
        level = np.flatnonzero(scores == limit)
        wanted = k - len(above)
        if len(level) > wanted:
            places = ranks[documents[level]]
            level = level[places <= np.partition(places, wanted - 1)[wanted - 1]]
        kept = np.concatenate((above, level))
        documents, scores = documents[kept], scores[kept]
    order = np.lexsort((ranks[documents], -scores))
    return documents[order], scores[order]
