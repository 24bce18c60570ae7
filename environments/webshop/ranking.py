"""The best documents of a query, found without scoring what cannot be among them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.environments.webshop.bm25 import term_scores
from agentrl.environments.webshop.postings import (
    ROUNDING,
    Documents,
    Postings,
    Scores,
    Sums,
    Term,
)
from agentrl.environments.webshop.sweep import sweep

FEW = 20_000
"""So many postings are summed up faster than pruned."""
SAMPLE = 512
"""How many documents are scored in full to find a bound."""
BUDGET = 10_000
"""How many postings to sum up, at most, before documents are only looked up or all are swept."""
DENSE = 1 << 16
"""Of so many documents, at most, one sum each is faster than sorting, and takes no memory."""


def best(postings: Postings, terms: list[Term], k: int) -> tuple[Documents, Scores]:
    """Return the k documents of the highest scores, best first, and their scores."""
    if not terms or k <= 0:
        return np.empty(0, np.int32), np.empty(0, np.float32)
    if sum(map(len, terms)) <= FEW:
        documents, sums = exhaustive(postings, terms)
    else:
        documents, sums = pruned(postings, terms, k)
    return select(documents, sums.astype(np.float32), postings.ranks, k)


def exhaustive(postings: Postings, terms: list[Term]) -> tuple[Documents, Sums]:
    """Return all documents that have any of the terms, ascending, and their scores."""
    documents = np.concatenate([postings.documents[t.start : t.end] for t in terms])
    impacts = np.concatenate([postings.impacts[t.start : t.end] for t in terms])
    weights = np.repeat([t.weight for t in terms], [len(t) for t in terms])
    scores = term_scores(weights, postings.ratios[impacts])
    return _merge(documents, scores, len(postings.ranks))


def pruned(postings: Postings, terms: list[Term], k: int) -> tuple[Documents, Sums]:
    """Return the documents that may be among the k best, and their scores.

    The terms of the greatest possible scores, which are the rare ones, are summed up first. The k
    best of a sample of their documents, scored in full, give a bound. Where documents that have
    none of these terms cannot reach it, the other terms are only looked up for those found so far,
    and fewer and fewer of these. Else all documents are swept.
    """
    bounds = [float(_score(postings, term, term.best_impact)) for term in terms]
    order = sorted(range(len(terms)), key=lambda i: -bounds[i])
    search = _Search(postings, [terms[i] for i in order], [bounds[i] for i in order], k)
    search.gather(BUDGET)
    search.raise_bound()
    if not search.is_complete:
        search.take(sweep(postings, terms, k, search.bound))
    search.look_up()
    return search.documents, search.sums


class _Search:
    """A search under way: the terms before `next` are summed up for the documents kept."""

    def __init__(self, postings: Postings, terms: list[Term], bounds: list[float], k: int) -> None:
        self._postings = postings
        self._k = k
        self._terms = terms
        self._remaining: list[float] = np.cumsum([0.0, *bounds[::-1]])[::-1].tolist()
        """The most that the terms from each place on can add."""
        self._next = 0
        self.documents: Documents = np.empty(0, np.int32)
        self.sums: Sums = np.empty(0)
        self.bound = 0.0
        """The k-th best document scores at least this."""

    @property
    def is_complete(self) -> bool:
        """Whether a document that is not found yet cannot reach the bound."""
        return self._remaining[self._next] < self.bound or self._next == len(self._terms)

    def gather(self, budget: int) -> None:
        """Sum up terms for all documents that have them, of so many postings at most."""
        first = self._next
        while not self.is_complete and len(self._terms[self._next]) <= budget:
            budget -= len(self._terms[self._next])
            self._next += 1
        if self._next > first:
            parts = [self._part(term) for term in self._terms[first : self._next]]
            documents = np.concatenate([self.documents, *(part[0] for part in parts)])
            sums = np.concatenate([self.sums, *(part[1] for part in parts)])
            self.documents, self.sums = _merge(documents, sums, len(self._postings.ranks))
            self._drop()

    def _part(self, term: Term) -> tuple[Documents, Scores]:
        postings, span = self._postings, slice(term.start, term.end)
        return postings.documents[span], _score(postings, term, postings.impacts[span])

    def raise_bound(self) -> None:
        """Score the most promising documents in full; the k-th best of them is a bound."""
        size = min(SAMPLE, len(self.sums))
        if size < self._k:
            return
        chosen = np.sort(np.argpartition(self.sums, len(self.sums) - size)[-size:])
        documents, sums = self.documents[chosen], self.sums[chosen]
        for term in self._terms[self._next :]:
            sums += self._lookup(term, documents)
        self._set_bound(sums)
        self._drop()

    def _set_bound(self, sums: Sums) -> None:
        if len(sums) >= self._k:
            place = len(sums) - self._k
            # Sums are rounded to single precision at the end: what is a little less may be equal.
            self.bound = max(self.bound, float(np.partition(sums, place)[place]) * (1 - ROUNDING))

    def take(self, documents: Documents) -> None:
        """Go on with other documents, of which nothing is summed up."""
        self.documents, self.sums, self._next = documents, np.zeros(len(documents)), 0

    def look_up(self) -> None:
        """Sum up the remaining terms for the documents found so far."""
        while self._next < len(self._terms):
            self.sums = self.sums + self._lookup(self._terms[self._next], self.documents)
            self._next += 1
            self._set_bound(self.sums)
            self._drop()

    def _drop(self) -> None:
        """Forget the documents that cannot reach the bound any more.

        A document that is dropped here may come back with a later term while terms are gathered:
        it then has less than its score, which was too little already.
        """
        kept = self.sums + self._remaining[self._next] >= self.bound
        if not kept.all():
            self.documents, self.sums = self.documents[kept], self.sums[kept]

    def _lookup(self, term: Term, documents: Documents) -> Sums:
        """Return what a term adds to each of the documents, which ascend."""
        postings = self._postings
        held = postings.documents[term.start : term.end]
        places = np.searchsorted(held, documents)
        places[places == len(held)] = 0
        has_it = held[places] == documents
        added = np.zeros(len(documents))
        added[has_it] = _score(postings, term, postings.impacts[term.start + places[has_it]])
        return added


def _merge(documents: Documents, scores: NDArray[Any], size: int) -> tuple[Documents, Sums]:
    """Return each document once, ascending, and the sum of its scores.

    Args:
        documents: Any order, repeated as they like.
        scores: One for each.
        size: How many documents there are in all.
    """
    if size <= DENSE:
        totals = np.bincount(documents, scores).astype(np.float64, copy=False)
        found: Documents = np.flatnonzero(totals)
        return found, totals[found]
    # Sorting numbers is many times faster than sorting by them.
    keys = (documents.astype(np.int64) << 32) | np.arange(len(documents))
    keys.sort()
    documents = keys >> 32
    first = np.flatnonzero(np.diff(documents, prepend=-1))
    sums = np.add.reduceat(scores[keys & 0xFFFFFFFF], first, dtype=np.float64)
    return documents[first].astype(np.int32), sums


def _score(postings: Postings, term: Term, impacts: Any) -> Scores:
    """Return the scores of postings of a term, given their impacts."""
    if np.size(impacts) <= len(postings.ratios):
        return term_scores(term.weight, postings.ratios[impacts])
    scores: Scores = term_scores(term.weight, postings.ratios).take(impacts)
    return scores


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
