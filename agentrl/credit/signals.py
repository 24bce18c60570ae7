"""What methods that read signals share: shapes, means over a turn's tokens, missing values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from agentrl.batch import Batch, Bools, Floats, Ints
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Signals

_PIECE = 1 << 17
"""Tokens whose columns fit into a processor's cache: longer batches are read piece by piece."""


def check_choice(method: str, parameter: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is not one of the choices."""
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ConfigError(
            f"credit method {method!r}: {parameter} must be one of {known}, not {value!r}"
        )


def signal_per_turn(
    method: str, name: str, batch: Batch, signals: Signals, *, columns: int | None = None
) -> Floats:
    """Return a signal that has one value (or row of `columns` values) per turn.

    Raises:
        ConfigError: The signal has another shape.
    """
    shape = (batch.num_turns,) if columns is None else (batch.num_turns, columns)
    values = signals[name]
    if values.shape != shape:
        raise ConfigError(
            f"credit method {method!r} needs the signal {name!r} in shape {shape}, one entry per "
            f"turn, not {values.shape}"
        )
    return values.astype(np.float64, copy=False)


def token_means(values: Floats, batch: Batch) -> Floats:
    """Return the mean over each turn's sampled tokens, 0 for a turn without any.

    Args:
        values: Shape [tokens]; values of tokens that were read play no part.
        batch: Says which tokens were sampled.

    Returns:
        Shape [turns].
    """
    offsets, sums = batch.token_offsets, np.zeros(batch.num_turns)
    marks = np.arange(0, batch.num_tokens, _PIECE)
    cuts = np.unique(np.append(np.searchsorted(offsets[:-1], marks), batch.num_turns))
    for first, end in itertools.pairwise(cuts.tolist()):
        piece = slice(offsets[first], offsets[end])
        inside = batch.sampled[piece]
        turns = np.repeat(np.arange(end - first), np.diff(offsets[first : end + 1]))
        sums[first:end] = np.bincount(turns[inside], values[piece][inside], end - first)
    means: Floats = sums / np.maximum(batch.sampled_per_turn(), 1)
    return means


def final_turns(batch: Batch) -> Ints:
    """Return the last turn of every trajectory that has one, in order."""
    ends = batch.turn_offsets[1:]
    return ends[np.diff(batch.turn_offsets) > 0] - 1


def refuse_missing(method: str, what: str, batch: Batch, missing: Bools, mend: str) -> None:
    """Refuse turns that lack what a method reads.

    Args:
        method: The method's name.
        what: What is missing, such as `a finite entropy`.
        batch: Names the trajectory.
        missing: Shape [turns].
        mend: What to do about it.

    Raises:
        DataError: Names trajectory, group and turn of the first one.
    """
    if not missing.any():
        return
    turn = int(np.argmax(missing))
    trajectory = int(batch.trajectory_of_turn()[turn])
    group = batch.groups[int(batch.group_of_trajectory()[trajectory])]
    position = turn - int(batch.turn_offsets[trajectory])
    raise DataError(
        f"credit method {method!r} needs {what} at every turn it reads; turn {position} of "
        f"trajectory {batch.ids[trajectory]!r} of group {group!r} has none: {mend}"
    )


def plain(value: float) -> float | None:
    """Return a number as JSON can hold it: None where it is not finite."""
    return float(value) if np.isfinite(value) else None
