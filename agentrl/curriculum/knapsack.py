"""Knapsack RL: how many rollouts each task gets, out of a fixed total.

    value(N, p) = (1 - p^N - (1 - p)^N) * p (1 - p)^2
    gain(N, p)  = value(N + 1, p) - value(N, p) = (p^N (1 - p) + (1 - p)^N p) * p (1 - p)^2

Source: Li et al., Knapsack RL, arXiv 2509.25849: the probability that N rollouts of a task with
success rate p differ, so that GRPO has a gradient, times what the task would gain. Budgets maximise
the sum of the values. The paper solves that as a knapsack by dynamic programming. From N = 1 on the
gains of a task only fall, so taking the largest gains of all tasks is exact as well, and faster.

Functions for a loop of one's own: the trainer gives all tasks the same `rollout.group_size`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agentrl.batch import Floats, Ints


def rollout_value(success_rate: npt.ArrayLike, budget: npt.ArrayLike) -> Floats:
    """Return what a number of rollouts of a task is worth; broadcasts.

    Args:
        success_rate: From 0 to 1.
        budget: Rollouts, 0 or more.
    """
    rate, count = np.asarray(success_rate, np.float64), np.asarray(budget, np.float64)
    differ = np.maximum(1 - rate**count - (1 - rate) ** count, 0.0)
    worth: Floats = differ * rate * (1 - rate) ** 2
    return worth


def allocate(
    success_rates: npt.ArrayLike,
    total: int,
    low: int = 2,
    high: int = 128,
    *,
    negligible: float = 1e-9,
) -> Ints:
    """Return how many rollouts each task gets.

    Tasks that were never or always solved gain nothing and get `low`. What is left over when no
    task gains goes round, one rollout each and to the smallest budget first: to the tasks that were
    never solved, or hardly ever, up to `high`, since that rate may be wrong; then to all others.
    UNVERIFIED: the paper's fallback is said to favour unsolved tasks; how it does is our choice.

    Args:
        success_rates: An estimate for each task, shape [tasks].
        total: Rollouts for all tasks together.
        low: Rollouts that every task gets; at least 1.
        high: Rollouts that no task gets more of.
        negligible: A rollout that gains no more than this gains nothing; with 0, a solved task may
            get a hundred rollouts before an unsolved one gets a third.

    Returns:
        Budgets whose sum is `total`, shape [tasks].

    Raises:
        ValueError: A rate is not from 0 to 1, or the total cannot be given within the bounds.
    """
    rates = np.asarray(success_rates, np.float64)
    _check(rates, total, low, high, negligible)
    counts = np.arange(low, high)[:, None]
    gains = _gains(rates, counts)
    gains[gains <= negligible] = 0.0
    unsolved = (rates < 0.5) & (gains.max(axis=0, initial=0.0) == 0)
    unsolved_first = np.where(gains > 0, 0, np.where(unsolved, 1, 2))
    rounds = np.broadcast_to(counts, gains.shape)
    # Of equal gains the one with the smaller budget comes first: those of a task stay in order.
    order = np.lexsort((rounds.ravel(), unsolved_first.ravel(), -gains.ravel()))
    taken = order[: total - low * len(rates)] % max(len(rates), 1)
    budgets: Ints = low + np.bincount(taken, minlength=len(rates)).astype(np.int64)
    return budgets


def _gains(rates: Floats, counts: Ints) -> Floats:
    """Return what one rollout more than `counts` is worth; shape [counts, tasks]."""
    one_more = rates**counts * (1 - rates) + (1 - rates) ** counts * rates
    gains: Floats = one_more * rates * (1 - rates) ** 2
    # Rounding must not let a later gain of a task exceed an earlier one.
    return np.minimum.accumulate(gains, axis=0)


def _check(rates: Floats, total: int, low: int, high: int, negligible: float) -> None:
    if rates.ndim != 1 or not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError("success rates must be a list of numbers from 0 to 1")
    if not 1 <= low <= high:
        raise ValueError(f"low must be at least 1 and at most high, not {low} with high {high}")
    if not low * len(rates) <= total <= high * len(rates):
        raise ValueError(
            f"{len(rates)} tasks with {low} to {high} rollouts each take {low * len(rates)} to "
            f"{high * len(rates)} together, not {total}"
        )
    if not negligible >= 0:
        raise ValueError(f"negligible must not be below 0, not {negligible}")
