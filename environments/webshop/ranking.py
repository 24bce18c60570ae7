"""The best documents of a query, found without scoring what cannot be among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.environments.webshop.bm25 import term_scores

Documents = NDArray[np.integer[Any]]
Scores = NDArray[np.float32]
Sums = NDArray[np.float64]

FEW = 20_000
"""So many postings are summed up faster than pruned."""
SAMPLE = 512
"""How many documents are scored in full to find a bound."""
BUDGETS = (2_000, 60_000, float("inf"))
"""After so many postings the bound is raised."""
DENSE = 8
"""From this part of all documents on, one sum per document is faster than sorting."""
ROUNDING = 1e-6
"""More than the relative error of single precision."""


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
    if sum(term.end - term.start for term in terms) <= FEW:
        documents, sums = exhaustive(postings, terms)
    else:
        documents, sums = pruned(postings, terms, k)
    return select(documents, sums.astype(np.float32), postings.ranks, k)


def exhaustive(postings: Postings, terms: list[Term]) -> tuple[Documents, Sums]:
    """Return all documents that have any of the terms, ascending, and their scores."""
    documents = np.concatenate([postings.documents[t.start : t.end] for t in terms])
    impacts = np.concatenate([postings.impacts[t.start : t.end] for t in terms])
    weights = np.repeat([t.weight for t in terms], [t.end - t.start for t in terms])
    scores = term_scores(weights, postings.ratios[impacts])
    sums = np.bincount(documents, scores).astype(np.float64, copy=False)
    found: Documents = np.flatnonzero(sums)
    return found, sums[found]


def pruned(postings: Postings, terms: list[Term], k: int) -> tuple[Documents, Sums]:
    """Return the documents that may be among the k best, and their scores.

    The terms of the greatest possible scores, which are the rare ones, are summed up first. The k
    best of a sample of their documents, scored in full, give a bound; documents that have none of
    enough terms cannot reach it, so the remaining terms are only looked up for those found so far,
    and fewer and fewer of these.
    """
    search = _Search(postings, terms, k)
    for budget in BUDGETS:
        search.gather(budget)
        search.raise_bound()
    search.look_up()
    return search.documents, search.sums


class _Search:
    """A search under way: the terms before `next` are summed up for the documents kept."""

    def __init__(self, postings: Postings, terms: list[Term], k: int) -> None:
        self._postings = postings
        self._k = k
        bounds = [float(_score(postings, term, term.best_impact)) for term in terms]
        order = sorted(range(len(terms)), key=lambda i: -bounds[i])
        self._terms = [terms[i] for i in order]
        ordered = [bounds[i] for i in order]
        self._remaining: list[float] = np.cumsum([0.0, *ordered[::-1]])[::-1].tolist()
        """The most that the terms from each place on can add."""
        self._next = 0
        self.documents: Documents = np.empty(0, np.int32)
        self.sums: Sums = np.empty(0)
        self.bound = 0.0
        """The k-th best document scores at least this."""

    def gather(self, budget: float) -> None:
        """Sum up terms for all documents that have them.

        It goes on until documents with none of them cannot reach the bound, or until so many
        postings are summed up.
        """
        end, postings = self._next, 0
        while self._remaining[end] >= self.bound and postings < budget and end < len(self._terms):
            postings += self._terms[end].end - self._terms[end].start
            end += 1
        if end > self._next:
            added, self._next = self._terms[self._next : end], end
            self._add(added)
            self._drop()

    def _add(self, terms: list[Term]) -> None:
        parts = [self._part(term) for term in terms]
        documents = np.concatenate([self.documents, *(part[0] for part in parts)])
        sums = np.concatenate([self.sums, *(part[1] for part in parts)])
        if len(documents) * DENSE > len(self._postings.ranks):
            totals = np.bincount(documents, sums).astype(np.float64, copy=False)
            least = self.bound - self._remaining[self._next]
            kept = totals >= least if least > 0 else totals > 0
            self.documents = np.flatnonzero(kept).astype(np.int32)
            self.sums = totals[self.documents]
            return
        order = np.argsort(documents, kind="stable")
        documents, sums = documents[order], sums[order]
        first = np.flatnonzero(np.diff(documents, prepend=-1))
        self.documents, self.sums = documents[first], np.add.reduceat(sums, first)

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


def _score(postings: Postings, term: Term, impacts: Any) -> Scores:
    """Return the scores of postings of a term, given their impacts."""
    if np.size(impacts) <= len(postings.ratios):
        return term_scores(term.weight, postings.ratios[impacts])
    scores: Scores = term_scores(term.weight, postings.ratios)[impacts]
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
