"""Texts with a number each, in files: found by hash, mapped into memory, never held in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentrl.environments.webshop.mapped import damaged, map_array, map_bytes, save_array

HASH_BYTES = 8
_HASHES, _TEXTS, _STARTS = "term_hashes.npy", "terms.bin", "term_starts.npy"


class Vocabulary:
    """The texts that `write_vocabulary` has written to a folder."""

    def __init__(self, folder: Path) -> None:
        """Open a vocabulary.

        Raises:
            DataError: A file is missing or damaged.
        """
        self._hashes = map_array(folder / _HASHES)
        self._texts = map_bytes(folder / _TEXTS)
        self._starts = map_array(folder / _STARTS)
        sizes = (
            (len(self._starts) == len(self) + 1, _STARTS),
            (len(self._texts) == self._starts[-1], _TEXTS),
        )
        for fits, name in sizes:
            if not fits:
                raise damaged(folder / name, "its size does not fit the others'")

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self._hashes)

    def place(self, text: str) -> int | None:
        """Return the number of a text, None where it is not there."""
        place = int(np.searchsorted(self._hashes, np.uint64(_hash(text))))
        if place == len(self):
            return None
        start, end = self._starts[place : place + 2].tolist()
        is_it = self._texts[start:end] == text.encode("utf-8", "surrogatepass")
        return place if is_it else None


def write_vocabulary(folder: Path, texts: Sequence[str]) -> NDArray[np.int64]:
    """Write texts, each of them once; return which of them has number 0, 1 and so on."""
    hashes = np.fromiter(map(_hash, texts), np.uint64, len(texts))
    order = np.argsort(hashes, kind="stable")
    starts = np.zeros(len(texts) + 1, np.uint64)
    with (folder / _TEXTS).open("wb") as file:
        lengths = [file.write(texts[i].encode("utf-8", "surrogatepass")) for i in order.tolist()]
    np.cumsum(np.array(lengths, np.uint64), out=starts[1:])
    save_array(folder / _HASHES, hashes[order])
    save_array(folder / _STARTS, starts)
    return order


def _hash(text: str) -> int:
    """Return the number a text is found by."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES)
    return int.from_bytes(digest.digest(), "big")
