"""The table of common terms: what each adds to each document, one byte per document.

Summing up rows of this table takes a fraction of the time of going through the postings of terms
that a good part of all documents have. What it holds is rounded up: it tells which documents may be
among the best, and their postings tell the score.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agentrl.environments.webshop.mapped import create_array, map_array, save_array
from agentrl.environments.webshop.postings import steps

SHARE = 16
"""A term is common that one of so many documents has,"""
LEAST = 4096
"""and at least so many documents."""


def write_common(folder: Path, documents: int) -> None:
    """Write the table from the postings in the folder of an index.

    Args:
        folder: Holds `documents`, `impacts`, `ratios` and `posting_starts` already.
        documents: How many there are.
    """
    starts = map_array(folder / "posting_starts.npy")
    owners, impacts = map_array(folder / "documents.npy"), map_array(folder / "impacts.npy")
    values = steps(map_array(folder / "ratios.npy"))
    common = np.flatnonzero(np.diff(starts) >= max(LEAST, documents // SHARE))
    save_array(folder / "common_terms.npy", common)
    table = create_array(folder / "common.npy", np.dtype(np.uint8), (len(common), documents))
    for row, term in enumerate(common.tolist()):
        span = slice(*starts[term : term + 2].tolist())
        table[row, owners[span]] = values[impacts[span]]
