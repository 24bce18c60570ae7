"""Estimates with 95% intervals for repeated attempts at a panel of tasks.

Attempts at one task are alike, so the task is the unit: all means are means over tasks of each
task's mean, and their error comes from the spread between tasks (clustering by task).

Proportions (success, pass@k) have Wilson intervals at an effective sample size:

    n_eff = p (1 - p) / (s^2 / n)        s^2: variance of the n task means

kept between n (a task tells at least what one attempt tells) and the number of attempts (at most
what independent attempts would tell). With one attempt per task this is the plain Wilson
interval; with none or all solved it is Wilson with n = number of tasks, never of zero width. With
several attempts Student's t takes the place of the normal quantile, since s^2 is estimated.

Means of other scores have t intervals over task means. Sources: Wilson (1927); effective sample
sizes for clustered proportions: Dean and Pagano (2015), Evaluating Confidence Interval Methods for
Binomial Proportions in Clustered Surveys; pass@k: Chen et al., arXiv 2107.03374, equation 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentrl.batch import Floats

Z95 = 1.959963984540054
"""The normal distribution's 97.5% quantile."""
_T95 = {1: 12.706205, 2: 4.302653, 3: 3.182446, 4: 2.776445}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95% interval; NaN where the data cannot say."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """Return plain JSON: NaN becomes null."""
        names = ("value", "low", "high")
        return {n: None if math.isnan(v := getattr(self, n)) else v for n in names}


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def success_rate(tasks: Sequence[Sequence[bool]]) -> Estimate:
    """Return the success rate.

    Args:
        tasks: For each task whether each attempt succeeded; tasks without attempts are left out.
    """
    means = np.array([np.mean(attempts) for attempts in tasks if attempts])
    return _proportion(means, most=sum(map(len, tasks)))


def mean_score(tasks: Sequence[Sequence[float]]) -> Estimate:
    """Return the mean score.

    Where scores take no other values than 0 and one more, the score is a multiple of a success
    rate and its interval is that rate's; else it is a t interval, unknown where nothing varies.

    Args:
        tasks: For each task the score of each attempt; tasks without attempts are left out.
    """
    kept = [np.asarray(scores, np.float64) for scores in tasks if len(scores)]
    if not kept:
        return UNKNOWN
    paid = {float(score) for scores in kept for score in scores} - {0.0}
    if len(paid) <= 1:
        unit = paid.pop() if paid else 1.0
        rate = success_rate([(scores != 0).tolist() for scores in kept])
        ends = sorted((rate.low * unit, rate.high * unit))
        return Estimate(rate.value * unit, *ends)
    means = np.array([scores.mean() for scores in kept])
    value = float(means.mean())
    if len(means) < 2 or np.ptp(means) == 0:
        return Estimate(value, math.nan, math.nan)
    margin = t95(len(means) - 1) * float(means.std(ddof=1)) / math.sqrt(len(means))
    return Estimate(value, value - margin, value + margin)


def pass_at(tasks: Sequence[Sequence[bool]], k: int) -> Estimate:
    """Return the unbiased pass@k: the chance that one of k attempts succeeds.

    Args:
        tasks: For each task whether each attempt succeeded; those with fewer than k attempts are
            left out.
        k: At least 1.
    """
    able = [attempts for attempts in tasks if len(attempts) >= k]
    values = np.array([pass_at_k(len(attempts), sum(attempts), k) for attempts in able])
    return _proportion(values, most=sum(map(len, able)) // k)


def pass_at_k(attempts: int, successes: int, k: int) -> float:
    """Return 1 - C(attempts - successes, k) / C(attempts, k), without huge numbers."""
    if attempts - successes < k:
        return 1.0
    failures = np.arange(attempts - successes + 1, attempts + 1)
    return float(1.0 - np.prod(1.0 - k / failures))


def wilson(p: float, n: float, quantile: float = Z95) -> tuple[float, float]:
    """Return the Wilson interval of a proportion `p` seen in `n` trials."""
    square = quantile**2
    centre = (p + square / (2 * n)) / (1 + square / n)
    margin = quantile / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    low = 0.0 if p == 0 else max(0.0, centre - margin)
    high = 1.0 if p == 1 else min(1.0, centre + margin)
    return low, high


def t95(freedom: int) -> float:
    """Return Student's 97.5% quantile: a table, then the Cornish-Fisher expansion (error < 1e-3).

    Source: Abramowitz and Stegun, 26.7.5.
    """
    if freedom in _T95:
        return _T95[freedom]
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))


def _proportion(means: Floats, most: int) -> Estimate:
    """Return the mean of task means in [0, 1] with its interval; `most` bounds n_eff."""
    n = len(means)
    if n == 0:
        return UNKNOWN
    p = min(1.0, max(0.0, float(means.mean())))
    if most <= n or n == 1 or p in (0.0, 1.0):
        return Estimate(p, *wilson(p, n))
    variance = float(means.var(ddof=1)) / n
    effective = min(max(p * (1 - p) / variance, n), most) if variance > 0 else float(most)
    return Estimate(p, *wilson(p, effective, t95(n - 1)))
