"""A recurrence that runs backwards through many sequences at once, linear in their elements."""

from __future__ import annotations

import numpy as np

from agentrl.batch import Floats, Ints

_BLOCK = 16
_PIECE = 1 << 14
"""What fits into a processor's cache: longer arrays are solved piece by piece, from the end."""


def backward_recurrence(values: Floats, decay: Floats, offsets: Ints) -> Floats:
    """Return y_n = x_n + d_n * y_{n+1} within each sequence; y is 0 beyond its end.

    Args:
        values: x, shape [elements].
        decay: d, shape [elements]; that of a sequence's last element plays no part.
        offsets: Sequence i holds elements [i] to [i + 1]. Shape [sequences + 1].

    Returns:
        Shape [elements].
    """
    carried = decay.astype(np.float64, copy=True)
    carried[offsets[1:][np.diff(offsets) > 0] - 1] = 0.0
    result = values.astype(np.float64, copy=True)
    for end in range(len(result), 0, -_PIECE):
        piece = slice(max(end - _PIECE, 0), end)
        if end < len(result):
            result[end - 1] += carried[end - 1] * result[end]
        result[piece] = _solve(result[piece], carried[piece])
    return result


def _solve(values: Floats, decay: Floats) -> Floats:
    """Solve one sequence: blocks side by side, then their heads, then what those carry back.

    Within blocks the work is done position by position; the heads of all blocks form a recurrence
    of the same kind, `_BLOCK` times shorter.
    """
    result, carried = _in_blocks(values), _in_blocks(decay)
    for place in range(_BLOCK - 2, -1, -1):
        result[place] += carried[place] * result[place + 1]
        carried[place] *= carried[place + 1]
    if result.shape[1] > 1:
        heads = _solve(result[0], carried[0])
        result[:, :-1] += carried[:, :-1] * heads[1:]
    return result.T.reshape(-1)[: len(values)]


def _in_blocks(values: Floats) -> Floats:
    """Return values as columns of `_BLOCK`, zeros at the end; shape [_BLOCK, blocks]."""
    blocks = -(-len(values) // _BLOCK)
    padded = np.zeros(blocks * _BLOCK)
    padded[: len(values)] = values
    return np.ascontiguousarray(padded.reshape(blocks, _BLOCK).T)
