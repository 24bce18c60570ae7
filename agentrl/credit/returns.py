"""Rewards of the ragged turns of a batch, and their discounted returns, in linear time."""

from __future__ import annotations

import numpy as np

from agentrl.batch import Batch, Floats, Ints


def discounted_returns(rewards: Floats, turn_offsets: Ints, gamma: float) -> Floats:
    """Return G_t = r_t + gamma * G_{t+1} within each trajectory.

    Args:
        rewards: Shape [turns].
        turn_offsets: Trajectory i holds turns [i] to [i + 1]. Shape [trajectories + 1].
        gamma: Discount per turn.

    Returns:
        Shape [turns].
    """
    lengths = np.diff(turn_offsets)
    longest_first = np.argsort(-lengths, kind="stable")
    starts = turn_offsets[:-1][longest_first]
    longest = int(lengths.max(initial=0))
    # How many trajectories have a turn at each position; they lie at the front of `starts`.
    alive = len(lengths) - np.cumsum(np.bincount(lengths, minlength=longest + 1))
    returns = rewards.astype(np.float64, copy=True)
    for position in range(longest - 2, -1, -1):
        turn = starts[: alive[position + 1]] + position
        returns[turn] += gamma * returns[turn + 1]
    return returns


def paid_rewards(batch: Batch) -> Floats:
    """Return the turns' rewards, the last turn's with what the trajectory earned beyond them.

    Returns:
        Shape [turns].
    """
    rewards = batch.rewards.copy()
    of_turn = batch.trajectory_of_turn()
    total = np.bincount(of_turn, weights=rewards, minlength=batch.num_trajectories)
    beyond = batch.returns - total
    owed = np.abs(beyond) > 1e-9 * np.maximum(1.0, np.abs(batch.returns))
    owed &= np.diff(batch.turn_offsets) > 0
    rewards[batch.turn_offsets[1:][owed] - 1] += beyond[owed]
    return rewards
