"""Build the search index from a stream of documents, in bounded memory.

First pass: each document becomes a row of term numbers; every few million of them a block is sorted
by term and written out. Second pass: with the frequency of each term known, every block's postings
go to their final places. Only the vocabulary and a few numbers per document and per term are held.

Files: the vocabulary, `posting_starts`, and per posting `documents` and `impacts`; an impact is a
place in `ratios`, the ascending table of all values of frequency / norm that occur. `best_impacts`
has each term's greatest, `ranks` each document's place in the order of names, which breaks ties.
"""

from __future__ import annotations

import shutil
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agentrl.environments.webshop.analysis import analyse
from agentrl.environments.webshop.bm25 import encode_length, inverse_norms
from agentrl.environments.webshop.common import write_common
from agentrl.environments.webshop.mapped import create_array, save_array
from agentrl.environments.webshop.vocabulary import write_vocabulary

BLOCK_TOKENS = 1 << 22
"""How many tokens are sorted at a time; a block takes about 150 MB."""

_Block = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


class Statistics(msgspec.Struct, frozen=True):
    """What an index is made of."""

    documents: int
    """How many there are, empty ones included."""
    documents_with_terms: int
    tokens: int


class IndexBuilder:
    """Takes documents one by one and writes the index at the end."""

    def __init__(self, folder: Path, block_tokens: int = BLOCK_TOKENS) -> None:
        """Start an index in an empty folder.

        Args:
            folder: Where its files go; made if it is not there.
            block_tokens: How many tokens to sort at a time.
        """
        self._folder = folder
        self._drafts = folder / "blocks"
        self._drafts.mkdir(parents=True)
        self._block_tokens = block_tokens
        self._vocabulary: defaultdict[str, int] = defaultdict()
        self._vocabulary.default_factory = self._vocabulary.__len__
        self._names: list[str] = []
        self._lengths = array("I")
        self._tokens = array("I")
        self._blocks = 0
        self._flushed = 0

    def add(self, name: str, text: str) -> None:
        """Add the next document.

        Args:
            name: Decides between documents of equal score: the lesser wins.
            text: What is searched.
        """
        self.add_terms(name, analyse(text))

    def add_terms(self, name: str, terms: Sequence[str]) -> None:
        """Add the next document, which is analysed already."""
        self._tokens.extend(map(self._vocabulary.__getitem__, terms))
        self._lengths.append(len(terms))
        self._names.append(name)
        if len(self._tokens) >= self._block_tokens:
            self._flush()

    def finish(self) -> Statistics:
        """Write the index and return what it is made of."""
        self._flush()
        lengths = np.array(self._lengths, np.int64)
        found = Statistics(len(lengths), int(np.count_nonzero(lengths)), int(lengths.sum()))
        save_array(self._folder / "ranks.npy", _ranks(self._names))
        self._names.clear()
        order = self._write_terms()
        self._write_postings(order, lengths, found)
        (self._folder / "statistics.json").write_bytes(msgspec.json.encode(found))
        shutil.rmtree(self._drafts)
        return found

    def _flush(self) -> None:
        """Write the tokens gathered so far as one block: term, document, frequency."""
        if not self._tokens:
            self._flushed = len(self._lengths)
            return
        lengths = np.array(self._lengths[self._flushed :], np.int64)
        owners = np.repeat(np.arange(len(lengths)), lengths)
        pairs = np.frombuffer(self._tokens, np.uint32).astype(np.int64) * len(lengths) + owners
        pairs, frequencies = np.unique(pairs, return_counts=True)
        terms, owners = np.divmod(pairs, len(lengths))
        block = np.empty((3, len(pairs)), np.int32)
        block[:] = terms, owners + self._flushed, frequencies
        save_array(self._drafts / f"{self._blocks}.npy", block)
        self._blocks += 1
        self._flushed = len(self._lengths)
        self._tokens = array("I")

    def _write_terms(self) -> NDArray[np.int64]:
        """Write the vocabulary; return each term's place in it."""
        order = write_vocabulary(self._folder, list(self._vocabulary))
        self._vocabulary.clear()
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        return places

    def _write_postings(
        self, places: NDArray[np.int64], lengths: NDArray[np.int64], found: Statistics
    ) -> None:
        norms = _norms(lengths, found)
        frequencies = np.zeros(len(places), np.int64)
        seen = np.empty(0, np.float32)
        for terms, _, ratios in self._postings(places, norms):
            frequencies += np.bincount(terms, minlength=len(places))
            seen = np.union1d(seen, ratios)
        starts = np.concatenate(([0], np.cumsum(frequencies)))
        best = self._scatter(places, norms, starts, seen)
        save_array(self._folder / "posting_starts.npy", starts)
        save_array(self._folder / "ratios.npy", seen)
        save_array(self._folder / "best_impacts.npy", best)
        write_common(self._folder, found.documents)

    def _scatter(
        self,
        places: NDArray[np.int64],
        norms: NDArray[np.float32],
        starts: NDArray[np.int64],
        table: NDArray[np.float32],
    ) -> NDArray[np.unsignedinteger[Any]]:
        """Write each posting to its place; return the greatest impact of each term."""
        kind = np.min_scalar_type(len(table))
        documents = create_array(
            self._folder / "documents.npy", np.dtype(np.int32), (int(starts[-1]),)
        )
        impacts = create_array(self._folder / "impacts.npy", kind, (int(starts[-1]),))
        best = np.zeros(len(places), kind)
        cursors = starts[:-1].copy()
        for terms, owners, ratios in self._postings(places, norms):
            impact = np.searchsorted(table, ratios).astype(kind)
            first = np.flatnonzero(np.diff(terms, prepend=-1))
            counts = np.diff(first, append=len(terms))
            targets = np.arange(len(terms)) + np.repeat(cursors[terms[first]] - first, counts)
            documents[targets] = owners
            impacts[targets] = impact
            cursors[terms[first]] += counts
            greatest = np.maximum.reduceat(impact, first)
            best[terms[first]] = np.maximum(best[terms[first]], greatest)
        return best

    def _postings(self, places: NDArray[np.int64], norms: NDArray[np.float32]) -> Iterator[_Block]:
        """Yield final term numbers, documents and frequency / norm of each block, by term."""
        for number in range(self._blocks):
            terms, owners, frequencies = np.load(self._drafts / f"{number}.npy")
            yield places[terms], owners, frequencies.astype(np.float32) * norms[owners]


def _norms(lengths: NDArray[np.int64], found: Statistics) -> NDArray[np.float32]:
    """Return 1 / norm of each document."""
    distinct, which = np.unique(lengths, return_inverse=True)
    codes = np.array([encode_length(length) for length in distinct.tolist()], np.uint8)
    average = found.tokens / max(1, found.documents_with_terms)
    return inverse_norms(average)[codes[which]] if found.tokens else np.zeros(0, np.float32)


def _ranks(names: list[str]) -> NDArray[np.int32]:
    """Return each document's place when sorted by name; of equal names the first comes first."""
    order = sorted(range(len(names)), key=names.__getitem__)
    ranks = np.empty(len(names), np.int32)
    ranks[order] = np.arange(len(names), dtype=np.int32)
    return ranks
