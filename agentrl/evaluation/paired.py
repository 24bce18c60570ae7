"""The difference between two evaluations on the tasks that both have played.

Each common task gives one difference d_i = mean(B's attempts) - mean(A's attempts). Pairing takes
out how hard tasks are; what is left is resampled: tasks are drawn with replacement and the mean
of their differences is taken, 10 000 times (paired bootstrap; Efron and Tibshirani 1993,
chapter 13). Resampled means of few tasks lie too close together: their variance is (n-1)/n of
what it should be, and they do not know that the spread is an estimate. So how far each lies from
the difference seen is multiplied by (t_0.975 / z_0.975) * sqrt(n / (n-1)), where t has n-1 degrees
of freedom (after the expanded percentile interval in Hesterberg 2015, What Teachers Should Know
About the Bootstrap).

    interval     from the 2.5% to the 97.5% quantile of the widened means, within what differences
                 can be
    p value      twice the smaller share of widened means at or beyond 0, never below 2^(1-n),
                 which is all that the signs of n tasks can show
    significant  the interval excludes 0 and p < 0.05, which takes 6 tasks
    detectable   (t_0.975 + z_0.8) * s / sqrt(n): the true difference that a comparison of n tasks
                 with this spread s of d_i would call significant about 4 times out of 5

Where all d_i are equal the bootstrap sees no spread. Then with 95% confidence at most the share
q = 1 - 0.05^(1/n) of all tasks is otherwise; the interval moves that share to the extremes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agentrl.batch import Floats
from agentrl.evaluation.statistics import Z95, t95

RESAMPLES = 10_000
FEWEST = 6
"""Fewest tasks that can show a difference: 2^(1-n) < 0.05."""
_POWER = 0.8416212335729143  # the normal distribution's 80% quantile
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Difference:
    """B minus A, with its 95% interval."""

    value: float
    low: float
    high: float
    p_value: float
    """Two-sided."""
    probability: float
    """The share of resamples in which B is ahead; ties count half."""
    detectable: float
    """The smallest true difference that would be found 4 times out of 5."""

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0, and the p value is below 0.05."""
        return (self.low > 0 or self.high < 0) and self.p_value < 0.05

    def as_dict(self) -> dict[str, float]:
        """Return plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def paired_difference(
    a: Floats, b: Floats, *, span: float | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Return the mean of `b - a` over tasks with everything known about its error.

    Args:
        a: Mean result of each common task in A, shape [tasks], at least one.
        b: The same tasks in B, shape [tasks].
        span: How far apart two results can be: 1 for success rates. None: as far apart as those
            given and 0 are; 1 where all are 0.
        seed: Seeds the resampling.
        resamples: How often the tasks are drawn anew.
    """
    differences = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    bound = math.inf if span is None else span
    if span is None:
        span = float(np.ptp(np.concatenate([a, b, [0.0]]))) or 1.0
    n, value = len(differences), float(differences.mean())
    if np.ptp(differences) <= _ROUNDING * max(1.0, span):
        return _without_spread(value, n, span)
    means = resampled_means(differences, np.random.default_rng(seed), resamples)
    wide = value + (means - value) * t95(n - 1) / Z95 * math.sqrt(n / (n - 1))
    low, high = np.clip(np.quantile(wide, [0.025, 0.975]), -bound, bound)
    below, above = int((wide <= 0).sum()), int((wide >= 0).sum())
    p_value = 2 * (min(below, above) + 1) / (len(means) + 1)
    spread = float(differences.std(ddof=1))
    return Difference(
        value=value,
        low=float(low),
        high=float(high),
        p_value=min(1.0, max(p_value, 2.0 ** (1 - n))),
        probability=float((means > 0).mean() + 0.5 * (means == 0).mean()),
        detectable=detectable_difference(spread, n),
    )


def resampled_means(values: Floats, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Return the means of `resamples` draws of len(values) values with replacement.

    How often each distinct value is drawn is multinomial, so that a panel of any size with few
    distinct differences costs no more than a small one.
    """
    distinct, counts = np.unique(values, return_counts=True)
    rows = max(1, 4_000_000 // len(distinct))
    parts = [
        rng.multinomial(len(values), counts / len(values), size=min(rows, resamples - done))
        @ distinct
        for done in range(0, resamples, rows)
    ]
    means: Floats = np.concatenate(parts) / len(values)
    means[np.abs(means) < _ROUNDING * np.abs(distinct).max()] = 0.0
    return means


def detectable_difference(spread: float, tasks: int) -> float:
    """Return (t_0.975 + z_0.8) * spread / sqrt(tasks)."""
    return (t95(max(tasks - 1, 1)) + _POWER) * spread / math.sqrt(tasks)


def _without_spread(value: float, n: int, span: float) -> Difference:
    share = 1 - 0.05 ** (1 / n)
    # One more task that had come out otherwise by the whole span is the least to reckon with.
    floor = span * math.sqrt(1 / (n + 1))
    return Difference(
        value=value,
        low=value - share * (span + value),
        high=value + share * (span - value),
        p_value=1.0 if value == 0 else min(1.0, 2.0 ** (1 - n)),
        probability=0.5 if value == 0 else float(value > 0),
        detectable=detectable_difference(floor, n),
    )
