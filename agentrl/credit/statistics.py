"""Means and deviations that credit methods share; vectorised, linear in the number of values.

Values are shifted by one member of their group before they are summed, so that a group whose
values are all equal has a mean of exactly that value and a deviation of exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agentrl.batch import Batch, Bools, Floats, Ints


class GroupStatistics(NamedTuple):
    """Statistics of each value's own group, one entry per value."""

    mean: Floats
    """Shape [values]; 0 for a group of one."""
    std: Floats
    """Shape [values]; 1 for a group of one."""
    size: Ints
    """Shape [values]."""


def group_statistics(values: Floats, labels: Ints, *, ddof: int = 1) -> GroupStatistics:
    """Return mean, standard deviation and size of the group that each value belongs to.

    Args:
        values: Shape [values].
        labels: The group of each value, 0 or more, in any order. Shape [values].
        ddof: 1 divides squared deviations by size - 1 (sample), 0 by size (population).
    """
    sizes = np.bincount(labels)
    shifted = values - _one_member(values, labels, len(sizes))[labels]
    mean = _group_sum(shifted, labels) / np.maximum(sizes, 1)
    squares = _group_sum((shifted - mean[labels]) ** 2, labels)
    std = np.sqrt(squares / np.maximum(sizes - ddof, 1))
    size = sizes[labels]
    return GroupStatistics(
        mean=np.where(size == 1, 0.0, values - (shifted - mean[labels])),
        std=np.where(size == 1, 1.0, std[labels]),
        size=size,
    )


def centred(values: Floats, labels: Ints) -> Floats:
    """Return values minus their group's mean; a group of one keeps its value (its mean is 0)."""
    sizes = np.bincount(labels)
    shifted = values - _one_member(values, labels, len(sizes))[labels]
    mean = _group_sum(shifted, labels) / np.maximum(sizes, 1)
    return np.where(sizes[labels] == 1, values, shifted - mean[labels])


def whitened(values: Floats, weights: Floats, *, eps: float = 1e-8) -> Floats:
    """Return (values - mean) / sqrt(var + eps) with weighted mean and variance.

    Args:
        values: Shape [values].
        weights: How often each value counts: a turn's value counts once per sampled token. The
            variance divides by the sum of weights - 1.
        eps: Added to the variance.
    """
    if not weights.any():
        return values
    deviations, variance = weighted_deviations(values, weights)
    scaled: Floats = deviations / np.sqrt(variance + eps)
    return scaled


def weighted_deviations(values: Floats, weights: Floats) -> tuple[Floats, float]:
    """Return values minus their weighted mean, and their weighted variance.

    Args:
        values: Shape [values].
        weights: How often each value counts, at least one of them above 0. The variance divides
            by the sum of weights - 1.
    """
    total = float(weights.sum())
    shifted = values - values[np.argmax(weights > 0)]
    deviations = shifted - float(np.sum(weights * shifted)) / total
    return deviations, float(np.sum(weights * deviations**2)) / max(total - 1, 1.0)


def turn_rows(batch: Batch, columns: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    """Return one record per turn from columns with one entry per trajectory, as plain numbers.

    Args:
        batch: Says which trajectory a turn belongs to.
        columns: The records' entries by name, each of shape [trajectories].
    """
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    return [dict(records[i]) for i in batch.trajectory_of_turn().tolist()]


def token_weights(batch: Batch) -> Floats:
    """Return how many tokens each turn was sampled with, shape [turns].

    Where a batch holds no tokens at all (files of other frameworks), every turn counts as one.
    """
    counts = batch.sampled_per_turn()
    if not counts.any():
        return np.ones(batch.num_turns)
    return counts.astype(np.float64)


def constant_groups(values: Floats, labels: Ints) -> Bools:
    """Return for each label whether all its values are equal, shape [labels]."""
    count = len(np.bincount(labels))
    differs = values != _one_member(values, labels, count)[labels]
    constant: Bools = np.bincount(labels[differs], minlength=count) == 0
    return constant


def _one_member(values: Floats, labels: Ints, count: int) -> Floats:
    member = np.zeros(count)
    member[labels[::-1]] = values[::-1]
    return member


def _group_sum(values: Floats, labels: Ints) -> Floats:
    return np.bincount(labels, weights=values).astype(np.float64, copy=False)
