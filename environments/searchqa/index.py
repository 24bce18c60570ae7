"""A large library: BM25 by bm25s, made once for a corpus and mapped from the cache afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from agentrl.cache import build_once
from agentrl.environments.searchqa.library import (
    LONGEST_QUERY,
    Passage,
    query_words,
    title_key,
    words_of,
)
from agentrl.errors import MissingExtraError

_FORMAT = "1"
"""Part of the cache's key; to be changed with the words or the numbers that go into an index."""
_K1, _B = 1.5, 0.75


class Bm25Library:
    """Passages ranked by BM25 over title and text (Lucene's formula, k1 1.5, b 0.75)."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        """Index the passages, or find the index that was made before.

        Raises:
            MissingExtraError: bm25s is not installed.
            DataError: The cache folder cannot be written.
        """
        bm25s = _bm25s()
        self.passages = tuple(passages)
        self.digest = digest_of(self.passages)
        key = f"{_FORMAT}-{bm25s.__version__}-{self.digest}"
        entry = build_once("searchqa-index", key, partial(_build, self.passages))
        self._index = bm25s.BM25.load(str(entry), mmap=True, show_progress=False)
        self._by_title: dict[str, list[int]] = {}
        for number, passage in enumerate(self.passages):
            self._by_title.setdefault(title_key(passage.title), []).append(number)
        # A group's episodes ask the same things; scoring is most of a step.
        self._found = lru_cache(4096)(self._search)

    def search(self, query: str, count: int) -> tuple[int, ...]:
        """Return the numbers of the best passages, see `Library`."""
        # The query is remembered, too, and a policy may write a book; no more of it is read.
        return self._found(query[:LONGEST_QUERY], count)

    def _search(self, query: str, count: int) -> tuple[int, ...]:
        known = self._index.vocab_dict
        words = [word for word in query_words(query) if word in known]
        if not words:
            return ()
        scores = self._index.get_scores(words)
        named = self._by_title.get(title_key(query), [])[:count]
        best = [number for number in _best(scores, count) if number not in named]
        return tuple(named + best)[:count]


def _best(scores: Any, count: int) -> list[int]:
    """Return the positions of the highest scores above 0, of equal ones the earlier first."""
    count = min(count, len(scores))
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    candidates = np.flatnonzero((scores >= least) & (scores > 0))
    order = np.argsort(-scores[candidates], kind="stable")[:count]
    found: list[int] = candidates[order].tolist()
    return found


def _build(passages: Sequence[Passage], folder: Path) -> None:
    bm25s = _bm25s()
    index = bm25s.BM25(k1=_K1, b=_B, method="lucene")
    words = [words_of(f"{passage.title} {passage.text}") for passage in passages]
    index.index(words, show_progress=False)
    index.save(str(folder), show_progress=False)


def digest_of(passages: Sequence[Passage]) -> str:
    """Return a hash of passages and their order (24 hex digits)."""
    digest = hashlib.sha256()
    for passage in passages:
        digest.update(f"\0{passage.title}\0{passage.text}".encode(errors="surrogatepass"))
    return digest.hexdigest()[:24]


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError("bm25s", "searchqa", "searching a corpus of passages") from error
    return bm25s
