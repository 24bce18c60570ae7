"""Which turns coincide: integer labels for equal keys, and means over equal labels.

Strings become integers once; keys of several parts are then rows of integers. Labels are exact:
rows are packed into one number without loss, never hashed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count, pairwise
from typing import cast

import numpy as np

from agentrl.batch import Batch, Floats, Ints
from agentrl.errors import DataError

LARGEST = 2**62
"""Packed rows stay below this, within 64 bits."""


def intern(texts: Sequence[str]) -> Ints:
    """Return a number from 0 for each text, equal exactly where texts are; shape [texts]."""
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    return np.fromiter(map(numbers.__getitem__, texts), np.int64, len(texts))


def row_labels(*columns: Ints) -> Ints:
    """Return a number from 0 for each row, equal exactly where all columns are.

    Labels are in the order of the rows: by first column, then by second, and so on.

    Args:
        columns: Whole numbers from 0 and below 2**31, each of shape [rows].

    Returns:
        Shape [rows].
    """
    packed = columns[0]
    span = _width(packed)
    for column in columns[1:]:
        width = _width(column)
        if span * width > LARGEST:
            packed = _dense(packed)
            span = _width(packed)
        packed = packed * width + column
        span *= width
    return _dense(packed)


def label_means(values: Floats, labels: Ints) -> Floats:
    """Return the mean of each value's label; exactly the value where all of a label are equal.

    Args:
        values: Shape [values].
        labels: Whole numbers from 0, in any order. Shape [values].

    Returns:
        Shape [values].
    """
    counts = np.bincount(labels)
    member = np.zeros(len(counts))
    member[labels] = values
    sums = np.bincount(labels, weights=values - member[labels])
    means: Floats = member + sums / np.maximum(counts, 1)
    return means[labels]


def group_of_turn(batch: Batch) -> Ints:
    """Return each turn's group index, shape [turns]."""
    return batch.group_of_trajectory()[batch.trajectory_of_turn()]


def situations(batch: Batch, method: str) -> list[str]:
    """Return the `state_key` of every turn, length [turns].

    Raises:
        DataError: A turn has none; names its trajectory.
    """
    if None not in batch.state_keys:
        return cast(list[str], batch.state_keys)
    turn = batch.state_keys.index(None)
    trajectory = int(batch.trajectory_of_turn()[turn])
    position = turn - int(batch.turn_offsets[trajectory])
    raise DataError(
        f"credit method {method!r} needs a state_key on every turn; trajectory "
        f"{batch.ids[trajectory]!r} has none at turn {position}: let the environment's "
        "state_key() name the situation"
    )


def members(labels: Ints) -> list[Ints]:
    """Return, for each label, the positions that have it, in order."""
    order = np.argsort(labels, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(labels))])
    return [order[start:stop] for start, stop in pairwise(bounds.tolist())]


def _width(column: Ints) -> int:
    return int(column.max(initial=0)) + 1


def _dense(values: Ints) -> Ints:
    return np.unique(values, return_inverse=True)[1].astype(np.int64, copy=False)
