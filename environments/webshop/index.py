"""Search the shop: BM25 over memory-mapped postings, equal to Lucene's ranking to the last bit."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from agentrl.environments.webshop import ranking
from agentrl.environments.webshop.analysis import analyse
from agentrl.environments.webshop.bm25 import idf
from agentrl.environments.webshop.index_build import Statistics
from agentrl.environments.webshop.mapped import damaged, map_array
from agentrl.environments.webshop.postings import Postings, Term
from agentrl.environments.webshop.vocabulary import Vocabulary

MOST_TERMS = 1024
"""Distinct terms of a query that count; Lucene refuses queries with more."""


class Index:
    """One index on disk; any number of threads and processes may search it at a time.

    It holds no postings and no vocabulary in memory of its own: all of it is mapped from files.
    """

    def __init__(self, folder: Path) -> None:
        """Open an index that an `IndexBuilder` has written.

        Raises:
            DataError: A file is missing or damaged.
        """
        self.statistics = _read_statistics(folder / "statistics.json")
        self._vocabulary = Vocabulary(folder)
        self._posting_starts = map_array(folder / "posting_starts.npy")
        self._best_impacts = map_array(folder / "best_impacts.npy")
        self._common_terms = map_array(folder / "common_terms.npy")
        self._postings = Postings(
            documents=map_array(folder / "documents.npy"),
            impacts=map_array(folder / "impacts.npy"),
            ratios=map_array(folder / "ratios.npy"),
            ranks=map_array(folder / "ranks.npy"),
            common=map_array(folder / "common.npy"),
        )
        self._check(folder)

    def __len__(self) -> int:
        """Return how many documents there are."""
        return self.statistics.documents

    def search(self, words: str, k: int = 50) -> list[int]:
        """Return the numbers of the best documents, best first.

        Args:
            words: The query; any string, of any length.
            k: How many at most. Documents that share no term with the query are never returned.
        """
        numbers: list[int] = self._rank(words, k)[0].tolist()
        return numbers

    def scores(self, words: str, k: int = 50) -> list[tuple[int, float]]:
        """Return the numbers and scores of the best documents, best first."""
        documents, scores = self._rank(words, k)
        return list(zip(documents.tolist(), scores.tolist(), strict=True))

    def frequency(self, term: str) -> int:
        """Return how many documents have a term; it is taken as it is, already stemmed."""
        place = self._vocabulary.place(term)
        if place is None:
            return 0
        return int(self._posting_starts[place + 1] - self._posting_starts[place])

    def _rank(self, words: str, k: int) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        return ranking.best(self._postings, self._query(words), k)

    def _query(self, words: str) -> list[Term]:
        """Return the query's terms that occur in some document."""
        counts = Counter(analyse(words))
        terms = []
        for term, count in islice(counts.items(), MOST_TERMS):
            place = self._vocabulary.place(term)
            if place is not None:
                terms.append(self._term(place, count))
        return terms

    def _term(self, place: int, count: int) -> Term:
        start, end = self._posting_starts[place : place + 2].tolist()
        weight = np.float32(count) * idf(self.statistics.documents_with_terms, end - start)
        best = int(self._best_impacts[place])
        return Term(start, end, weight, best, self._row(place))

    def _row(self, place: int) -> int | None:
        """Return where a term stands in the table of common terms."""
        common = self._common_terms
        row = int(common.searchsorted(place)) if len(common) else 0
        return row if row < len(common) and common[row] == place else None

    def _check(self, folder: Path) -> None:
        """Raise unless the files belong together."""
        terms, postings = len(self._vocabulary), self._postings
        table = (len(self._common_terms), len(self))
        sizes = (
            (len(self._posting_starts) == terms + 1, "posting_starts.npy"),
            (len(self._best_impacts) == terms, "best_impacts.npy"),
            (len(postings.documents) == self._posting_starts[-1], "documents.npy"),
            (len(postings.impacts) == self._posting_starts[-1], "impacts.npy"),
            (len(postings.ranks) == len(self), "ranks.npy"),
            (postings.common.shape == table, "common.npy"),
        )
        for fits, name in sizes:
            if not fits:
                raise damaged(folder / name, "its size does not fit the others'")


def _read_statistics(file: Path) -> Statistics:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Statistics)
    except (OSError, msgspec.DecodeError) as error:
        raise damaged(file, error) from error
