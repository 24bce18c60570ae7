"""BM25 in the arithmetic of Lucene 8: single precision, document lengths in one byte.

A term's score is `w - w / (1 + tf / norm)` with `w = count * idf` and
`norm = k1 * (1 - b + b * length / average)`; every step is rounded to single precision, and the
terms' scores are summed in double precision and rounded once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

K1 = np.float32(0.9)
B = np.float32(0.4)

_EXACT = 24
"""Lengths below are kept as they are; above, four significant bits remain."""


def encode_length(length: int) -> int:
    """Return the byte that stands for a document's length (Lucene's SmallFloat.intToByte4)."""
    if length < _EXACT:
        return length
    rest = length - _EXACT
    shift = rest.bit_length() - 4
    if shift < 0:
        return _EXACT + rest
    return _EXACT + ((rest >> shift & 7) | (shift + 1) << 3)


def decode_length(code: int) -> int:
    """Return the length that a byte stands for: the smallest that is written so."""
    rest = code - _EXACT
    if rest < 8:
        return code
    return _EXACT + ((rest & 7 | 8) << (rest >> 3) - 1)


def inverse_norms(average_length: float) -> NDArray[np.float32]:
    """Return 1 / norm for each of the 256 length bytes."""
    lengths = np.array([decode_length(code) for code in range(256)], np.float32)
    one = np.float32(1)
    relative = B * lengths / np.float32(average_length)
    return one / (K1 * ((one - B) + relative))


def idf(documents: int, frequency: int) -> np.float32:
    """Return the weight of a term that so many of the documents have."""
    return np.float32(math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5)))


def term_scores(
    weight: NDArray[np.float32] | np.float32, ratios: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the scores of postings.

    Args:
        weight: Count in the query times idf.
        ratios: Frequency in the document / norm.
    """
    scores: NDArray[np.float32] = weight - weight / (np.float32(1) + ratios)
    return scores
