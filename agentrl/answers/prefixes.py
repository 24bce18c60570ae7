"""After which prefixes of a batch the answer is scored, and how the scores become a signal.

The prefix before a turn is all that the policy has read when it acts: the turn's segment up to and
including the turn's own prompt, which holds the observation and the generation prompt. What the
policy believes after a turn is what it believes before the next one, so a trajectory of T turns has
T prefixes, not 2 T; after the last turn nothing is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agentrl.answers.block import AnswerBlock
from agentrl.batch import Batch, Floats, Ints

Write = Callable[[str], AnswerBlock]
"""Returns the block of an answer, as `AnswerWriter` does."""


@dataclass(frozen=True, slots=True, eq=False)
class Prefixes:
    """The prefixes that can be scored, in the order of turns; arrays of shape [prefixes]."""

    turns: Ints
    """The turn that each prefix stands before."""
    starts: Ints
    """The first token of its segment."""
    lengths: Ints
    """Its tokens."""
    blocks: Sequence[AnswerBlock]
    """What is appended to it. Length [prefixes]."""

    def __len__(self) -> int:
        """Return the number of prefixes."""
        return len(self.turns)


def prefixes_of(batch: Batch, write: Write, *, context_length: int | None) -> Prefixes:
    """Return the prefixes of all trajectories that have an answer.

    A prefix that does not fit the context together with the answer is left out.

    Args:
        batch: The batch.
        write: Returns the block of an answer.
        context_length: Most ids that the model reads; None for no limit.
    """
    blocks = [write(answer) if answer else None for answer in batch.answers]
    of_turn = [blocks[trajectory] for trajectory in batch.trajectory_of_turn().tolist()]
    # An empty answer has no probability per token.
    sizes = np.array([len(b) if b and len(b.answer) else 0 for b in of_turn], np.int64)
    segments = batch.segment_offsets()
    starts = np.repeat(batch.token_offsets[segments[:-1]], np.diff(segments))
    lengths = batch.token_offsets[1:] - batch.sampled_per_turn() - starts
    openers = np.array([len(b.opener) if b else 0 for b in of_turn], np.int64)
    fits = (sizes > 0) & (lengths + openers > 0)
    if context_length is not None:
        fits &= lengths + sizes <= context_length
    turns = np.flatnonzero(fits)
    chosen = [block for turn in turns.tolist() if (block := of_turn[turn]) is not None]
    return Prefixes(turns, starts[turns], lengths[turns], chosen)


def signal_of(batch: Batch, prefixes: Prefixes, scores: Floats) -> Floats:
    """Return the signal `answer_logprob`, shape [turns, 2]: before and after each turn.

    NaN stands where nothing was scored, and after the last turn of each trajectory.

    Args:
        batch: The batch.
        prefixes: Of that batch.
        scores: Mean log-probability of the answer's tokens after each prefix, shape [prefixes].
    """
    beliefs = np.full((batch.num_turns, 2), np.nan)
    beliefs[prefixes.turns, 0] = scores
    beliefs[:-1, 1] = beliefs[1:, 0]
    with_turns = np.diff(batch.turn_offsets) > 0
    beliefs[batch.turn_offsets[1:][with_turns] - 1, 1] = np.nan
    return beliefs
