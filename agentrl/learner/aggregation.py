"""How losses of tokens become one number, and what a sequence of tokens is.

A loss over a minibatch is sum_i weight_i * L_i with the weights computed once over the whole
minibatch, so that it does not matter how tokens are cut into packs.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from agentrl.batch import Batch, Bools, Floats, Ints

Sequence = Literal["segment", "turn"]


def aggregation_weights(
    batch: Batch,
    counted: Bools,
    mode: str,
    *,
    norm_length: int,
    sequences: Ints | None = None,
) -> npt.NDArray[np.float32]:
    """Return the weight of each token in the minibatch's loss, shape [tokens].

    Counted tokens whose loss is 0 still weigh in the denominators.

    Args:
        batch: The batch.
        counted: The minibatch's decision tokens; all others get weight 0. Shape [tokens].
        mode: `token-mean`, `seq-mean-token-mean`, `seq-mean-token-sum` or
            `seq-mean-token-sum-norm`.
        norm_length: The constant length of `seq-mean-token-sum-norm`.
        sequences: The sequence each token belongs to, shape [tokens]; None: its trajectory.
    """
    total = max(int(counted.sum()), 1)
    if mode == "token-mean":
        return (counted / total).astype(np.float32)
    if sequences is None:
        sequences = batch.trajectory_of_turn()[batch.turn_of_token()]
    lengths = np.bincount(sequences[counted], minlength=int(sequences.max(initial=-1)) + 1)
    weights = counted / max(int((lengths > 0).sum()), 1)
    if mode == "seq-mean-token-mean":
        weights = weights / np.maximum(lengths, 1)[sequences]
    elif mode == "seq-mean-token-sum-norm":
        weights = weights / norm_length
    return weights.astype(np.float32)


def turn_average_weights(batch: Batch, counted: Bools) -> npt.NDArray[np.float32]:
    """Return the weights of a mean over tokens of a turn, then turns, then trajectories.

    Args:
        batch: The batch.
        counted: The tokens the mean is over; a turn without any is not one. Shape [tokens].
    """
    turn = batch.turn_of_token()
    trajectory = batch.trajectory_of_turn()
    tokens = np.bincount(turn[counted], minlength=batch.num_turns)
    turns = np.bincount(trajectory[tokens > 0], minlength=batch.num_trajectories)
    trajectories = max(int((turns > 0).sum()), 1)
    per_turn = 1 / (np.maximum(tokens, 1) * np.maximum(turns, 1)[trajectory] * trajectories)
    weights: Floats = counted * per_turn[turn]
    return weights.astype(np.float32)


def sequence_of_token(batch: Batch, kind: Sequence) -> Ints:
    """Return the sequence that each token belongs to, counted from 0, shape [tokens]."""
    turns = batch.turn_of_token()
    if kind == "turn":
        return turns
    offsets = batch.segment_offsets()
    segments = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return segments[turns]


def whole_sequences(tokens: Bools, sequences: Ints, chosen: Bools) -> Bools:
    """Return all chosen tokens of the sequences that some of the tokens belong to.

    Args:
        tokens: Shape [tokens].
        sequences: See `sequence_of_token`.
        chosen: The tokens that sequences are made of, shape [tokens].
    """
    touched = np.bincount(sequences[tokens], minlength=int(sequences.max(initial=-1)) + 1) > 0
    return chosen & touched[sequences]


def run_lengths(labels: Ints) -> Ints:
    """Return the lengths of the runs of equal labels: tokens of each sequence, in order."""
    if not len(labels):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    return np.diff(np.append(starts, len(labels)))


def over_sequences(
    values: torch.Tensor, lengths: torch.Tensor, reduce: Literal["sum", "mean", "min", "max"]
) -> torch.Tensor:
    """Return to each token what its sequence's values reduce to, shape [tokens].

    Args:
        values: Sequence after sequence, shape [tokens].
        lengths: Tokens of each sequence, shape [sequences].
        reduce: How.
    """
    # Not index_add: its sums on a GPU depend on the order in which threads come.
    return torch.segment_reduce(values, reduce, lengths=lengths).repeat_interleave(lengths)
