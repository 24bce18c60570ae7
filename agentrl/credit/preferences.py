"""Preferences between episodes of one task, and the loss by which they teach a process reward.

    L      = -mean over pairs of log sigmoid(Q_better - Q_worse)
    dL/dQ  : -sigmoid(Q_worse - Q_better) / pairs for the better one, + the same for the worse one

Q_i is the sum (or mean) over the turns of trajectory i of its implicit step rewards. Source: Liu
et al., Agentic Reinforcement Learning with Implicit Step Rewards, arXiv 2509.19199, section 3
(trajectory preference objective). The coefficients let a trainer score trajectories without a
graph first and then accumulate sum_i coefficient_i * Q_i, a few trajectories at a time, with one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from agentrl.batch import Batch, Floats, Ints
from agentrl.errors import ConfigError

Reduce = Literal["sum", "mean"]


class PreferenceLoss(NamedTuple):
    """A loss and its slope."""

    loss: float
    """0 where there are no pairs."""
    coefficients: Floats
    """The derivative of the loss by each trajectory's score, shape [trajectories]."""


def preference_pairs(
    batch: Batch,
    outcomes: Floats | None = None,
    *,
    margin: float | None = None,
    threshold: float = 0.0,
) -> Ints:
    """Return which trajectory is preferred to which, within each group.

    Without a margin, every success (an outcome above the threshold) is preferred to every failure.
    For graded outcomes give a margin: one trajectory is preferred to another if its outcome is
    higher by at least that much. UNVERIFIED: how the authors pair graded outcomes; ours would be
    a margin of 0.5 on a scale from 0 to 10.

    Args:
        batch: The trajectories.
        outcomes: What to compare, shape [trajectories]; the returns if not given.
        margin: Above 0.
        threshold: What a success exceeds.

    Returns:
        Indices of the better and the worse trajectory, shape [pairs, 2]; groups without both are
        not in it.

    Raises:
        ConfigError: The margin is not above 0, or outcomes are of another batch.
    """
    if margin is not None and not margin > 0:
        raise ConfigError(f"the margin between preferred outcomes must be above 0, not {margin!r}")
    values = batch.returns if outcomes is None else outcomes
    if values.shape != batch.returns.shape:
        raise ConfigError(
            f"outcomes of shape {values.shape} do not fit {batch.num_trajectories} trajectories"
        )
    pairs = []
    for first, last in pairwise(batch.trajectory_offsets):
        own = values[first:last]
        if margin is None:
            preferred = (own > threshold)[:, None] & ~(own > threshold)[None, :]
        else:
            preferred = own[:, None] - own[None, :] >= margin
        pairs.append(first + np.argwhere(preferred))
    return np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)


def trajectory_scores(step_rewards: Floats, batch: Batch, *, reduce: Reduce = "sum") -> Floats:
    """Return Q: the sum, or mean, of each trajectory's step rewards.

    Args:
        step_rewards: Shape [turns].
        batch: Says which turns belong together.
        reduce: The paper sums, the authors' code takes the mean.

    Returns:
        Shape [trajectories]; 0 for one without turns.
    """
    owner = batch.trajectory_of_turn()
    sums: Floats = np.bincount(owner, step_rewards, batch.num_trajectories).astype(np.float64)
    return sums if reduce == "sum" else sums / np.maximum(np.diff(batch.turn_offsets), 1)


def preference_loss(scores: Floats, pairs: Ints, weights: Floats | None = None) -> PreferenceLoss:
    """Return the loss and its derivative by each score.

    Args:
        scores: Q of each trajectory, shape [trajectories].
        pairs: As of `preference_pairs`, shape [pairs, 2].
        weights: How much each pair counts, such as its gap in outcome, shape [pairs]; divided by
            their sum. All equal if not given.
    """
    coefficients = np.zeros(len(scores))
    share = np.ones(len(pairs)) if weights is None else weights
    if not share.sum() > 0:
        return PreferenceLoss(0.0, coefficients)
    share = share / share.sum()
    better, worse = pairs[:, 0], pairs[:, 1]
    gap = scores[worse] - scores[better]
    slope = share * _sigmoid(gap)
    np.add.at(coefficients, better, -slope)
    np.add.at(coefficients, worse, slope)
    return PreferenceLoss(float(np.sum(share * np.logaddexp(0.0, gap))), coefficients)


def preference_accuracy(scores: Floats, pairs: Ints) -> float:
    """Return the share of pairs whose better trajectory scores higher; a tie counts half.

    Returns:
        NaN where there are no pairs.
    """
    if not len(pairs):
        return float("nan")
    gap = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))


def _sigmoid(values: Floats) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * values))
