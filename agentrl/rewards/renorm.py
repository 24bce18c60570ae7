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

from typing import Literal

import numpy as np

from agentrl.batch import Floats, Ints


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
