"""ReNorm: process scores and the outcome in one turn reward, each less one half.

    r_t = p_t + R_i - 1          p_t and R_i between 0 and 1
    r_T = R_i                    the last turn

A process score is thus worth nothing (at most 0) in a failed episode and at least 0 in a solved
one, so that it cannot be harvested by failing at length. Source: Xu et al., Principle Process
Reward, arXiv 2509.25598. UNVERIFIED: the paper's own equation (this is the only form that fits its
statements) and what the last turn receives; `last="hybrid"` treats it as the others. Meant for
GAE: the constant shift matters because episodes differ in length.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agentrl.batch import Batch, Floats, Ints
from agentrl.errors import ConfigError, DataError
from agentrl.rewards.base import Stage, refuse_outcomes
from agentrl.trajectory import Signals


def renorm_rewards(
    process: Floats,
    outcomes: Floats,
    turn_offsets: Ints,
    *,
    last: Literal["outcome", "hybrid"] = "outcome",
) -> Floats:
    """Return the reward of each turn.

    Args:
        process: Scores between 0 and 1, shape [turns].
        outcomes: Between 0 and 1, shape [trajectories].
        turn_offsets: Trajectory i holds turns [i] to [i + 1]. Shape [trajectories + 1].
        last: What the last turn of a trajectory receives.

    Returns:
        Shape [turns].

    Raises:
        ValueError: Shapes do not fit, or a value lies outside [0, 1].
    """
    lengths = np.diff(turn_offsets)
    if process.shape != (lengths.sum(),) or outcomes.shape != lengths.shape:
        raise ValueError(
            f"scores {process.shape} and outcomes {outcomes.shape} do not fit "
            f"{len(lengths)} trajectories of {int(lengths.sum())} turns"
        )
    for name, values in (("process scores", process), ("outcomes", outcomes)):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} must lie between 0 and 1; scale them first")
    rewards = process + np.repeat(outcomes, lengths) - 1.0
    if last == "outcome":
        rewards[turn_offsets[1:][lengths > 0] - 1] = outcomes[lengths > 0]
    return rewards


@dataclass(frozen=True, slots=True)
class Renorm:
    """Turn rewards from a judge's scores (signal `process_score`) and the outcome."""

    last: Literal["outcome", "hybrid"] = "outcome"
    """What the last turn of an episode receives."""

    name: ClassVar[str] = "renorm"
    stage: ClassVar[Stage] = "turns"
    needs: ClassVar[frozenset[str]] = frozenset({"process_score"})

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        if self.last not in ("outcome", "hybrid"):
            raise ConfigError(
                f"reward transform 'renorm': last must be 'outcome' or 'hybrid', not {self.last!r}"
            )

    def __call__(self, batch: Batch, signals: Signals) -> Batch:
        """Return the batch with other turn rewards, which add up to the returns.

        Raises:
            ConfigError: The signal has another shape.
            DataError: An outcome or a score is not between 0 and 1; names the trajectory.
        """
        refuse_outcomes(self.name, batch, lowest=0.0, highest=1.0)
        scores = signals["process_score"]
        if scores.shape != (batch.num_turns,):
            raise ConfigError(
                f"reward transform {self.name!r} needs the signal 'process_score' with one value "
                f"per turn, shape ({batch.num_turns},), not {scores.shape}"
            )
        _refuse_scores(batch, scores)
        rewards = renorm_rewards(scores, batch.returns, batch.turn_offsets, last=self.last)
        earned = np.bincount(
            batch.trajectory_of_turn(), weights=rewards, minlength=batch.num_trajectories
        )
        played = np.diff(batch.turn_offsets) > 0
        return dataclasses.replace(
            batch, rewards=rewards, returns=np.where(played, earned, batch.returns)
        )


def _refuse_scores(batch: Batch, scores: Floats) -> None:
    fits = (scores >= 0) & (scores <= 1)
    if fits.all():
        return
    turn = int(np.argmin(fits))
    trajectory = int(batch.trajectory_of_turn()[turn])
    raise DataError(
        f"process score {scores[turn]} at turn {turn - int(batch.turn_offsets[trajectory])} of "
        f"trajectory {batch.ids[trajectory]!r} is not between 0 and 1; scale the judge's scores"
    )
