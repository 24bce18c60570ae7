"""One pass over all documents that leaves few to be scored exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentrl.environments.webshop.bm25 import term_scores
from agentrl.environments.webshop.postings import (
    MOST_EXCESS,
    ROUNDING,
    STEPS,
    Documents,
    Postings,
    Scores,
    Term,
)

WINDOW = 1 << 17
"""How many documents are swept at a time: their sums fit a core's cache. A multiple of eight."""


def sweep(postings: Postings, terms: list[Term], k: int, bound: float) -> Documents:
    """Return the documents that may be among the k best, ascending; most of them are.

    All documents are scored, a window at a time: common terms from their table, which gives a
    little too much, the others from their postings.

    Args:
        postings: All postings.
        terms: Those of the query.
        k: How many are wanted.
        bound: What the k-th best is known to score at least.
    """
    return _Sweep(postings, terms, k, bound).run()


class _Sweep:
    """A sweep under way."""

    def __init__(self, postings: Postings, terms: list[Term], k: int, bound: float) -> None:
        self._postings = postings
        self._k = k
        self._bound = bound
        self._rounding = ROUNDING * (len(terms) + 1)
        self._common = [
            (postings.common[term.row], np.float32(term.weight / STEPS))
            for term in terms
            if term.row is not None
        ]
        self._excess = MOST_EXCESS * sum(float(step) for _, step in self._common)
        """Sums are at most so much too great."""
        edges = np.arange(0, len(postings.ranks) + WINDOW, WINDOW)
        self._others = [
            (term, term_scores(term.weight, postings.ratios), self._cuts(term, edges))
            for term in terms
            if term.row is None
        ]
        self._sums = np.zeros(WINDOW, np.float32)
        self._part = np.empty(WINDOW, np.float32)
        self._found: Documents = np.empty(0, np.int64)
        self._found_sums: Scores = np.empty(0, np.float32)

    def _cuts(self, term: Term, edges: NDArray[np.int64]) -> list[int]:
        held = self._postings.documents[term.start : term.end]
        cuts: list[int] = (term.start + np.searchsorted(held, edges)).tolist()
        return cuts

    def run(self) -> Documents:
        for number, start in enumerate(range(0, len(self._postings.ranks), WINDOW)):
            self._sum_up(number, start)
            self._keep(start)
        return self._found

    def _sum_up(self, number: int, start: int) -> None:
        postings = self._postings
        size = min(WINDOW, len(postings.ranks) - start)
        self._sums.fill(0)
        sums, part = self._sums[:size], self._part[:size]
        for row, step in self._common:
            np.multiply(row[start : start + size], step, out=part)
            np.add(sums, part, out=sums)
        for _, table, cuts in self._others:
            span = slice(cuts[number], cuts[number + 1])
            places = np.subtract(postings.documents[span], start, dtype=np.intp)
            sums[places] += table.take(postings.impacts[span])

    def _keep(self, start: int) -> None:
        """Add the documents of this window that may be among the best to those found."""
        places = self._promising()
        self._found = np.concatenate([self._found, places + start])
        self._found_sums = np.concatenate([self._found_sums, self._sums[places]])
        if len(places) == 0 or len(self._found) < self._k:
            return
        place = len(self._found) - self._k
        least = float(np.partition(self._found_sums, place)[place])
        self._bound = max(self._bound, least * (1 - self._rounding) - self._excess)
        kept = self._found_sums >= self._bound * (1 - self._rounding)
        self._found, self._found_sums = self._found[kept], self._found_sums[kept]

    def _promising(self) -> NDArray[np.int64]:
        """Return the places in the window that reach the bound."""
        if self._bound <= 0:
            return np.flatnonzero(self._sums)
        reached = self._sums >= np.float32(self._bound * (1 - self._rounding))
        # Few do: eight are looked at together.
        rows = np.flatnonzero(reached.view(np.uint64))
        inside = np.flatnonzero(reached.reshape(-1, 8)[rows])
        places: NDArray[np.int64] = rows[inside >> 3] * 8 + (inside & 7)
        return places
