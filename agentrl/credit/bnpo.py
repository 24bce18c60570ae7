"""BNPO: the return minus its group's mean, over the density of such means in the whole batch.

    r_i   = (R_i - lowest) / (highest - lowest)                          in [0, 1]
    p     = mean of r over a group;   m, v = mean and sample variance of p over the batch's groups
    a     = (m (1 - m) / v - 1) m,    b = (m (1 - m) / v - 1) (1 - m)
    alpha = max(1, 1 + a / 3),        beta = max(1, 1 + b / 3)
    A_i   = min(1 / Beta(p; alpha, beta), max_weight) (r_i - p)

Source: Xiao et al., BNPO: Beta Normalization Policy Optimization, arXiv 2506.02864; where the
paper is silent, as in the authors' code. alpha = beta = 1 is REINFORCE with the group's mean as
baseline; other values come near GRPO. A batch of one group has m = 0 and v = 1, hence that.

Two departures from that code. Where all groups have one mean, v is 0 and it gives NaN: here alpha
and beta are 1. A group of one has p = 0, and it divides by the density at 0, which is up to
`max_weight` times the reward: here such an episode has the weight 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from agentrl.batch import Batch, Floats, Ints
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_positive
from agentrl.credit.statistics import group_statistics, turn_rows
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Signals

_ROUNDING = 1e-12
"""Means that vary less than this are equal but for rounding."""


@dataclass(frozen=True, slots=True)
class Bnpo:
    """Beta-normalised policy optimisation."""

    lowest: float = 0.0
    """The least that an episode can earn."""
    highest: float = 1.0
    """The most that an episode can earn."""
    max_weight: float = 1e6
    """No difference is multiplied by more."""

    name: ClassVar[str] = "bnpo"
    stage: ClassVar[Stage] = "outcome"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        if not -np.inf < self.lowest < self.highest < np.inf:
            raise ConfigError(
                f"credit method {self.name!r}: lowest must be below highest, "
                f"not {self.lowest!r} and {self.highest!r}"
            )
        check_positive(self.name, "max_weight", self.max_weight)

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn, equal within a trajectory.

        Raises:
            DataError: A trajectory earned less than `lowest` or more than `highest`.
        """
        fit = self._fit(batch)
        outcome = fit.weight * (fit.scaled - fit.mean)
        return outcome[batch.trajectory_of_turn()]

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return what each turn's trajectory was compared with, and the density there.

        `return` and `mean` are scaled to [0, 1].
        """
        fit = self._fit(batch)
        columns = {
            "return": fit.scaled,
            "mean": fit.mean,
            "compared": fit.size,
            "alpha": np.full(batch.num_trajectories, fit.alpha),
            "beta": np.full(batch.num_trajectories, fit.beta),
            "density": np.exp(fit.log_density),
            "weight": fit.weight,
        }
        return turn_rows(batch, columns)

    def _fit(self, batch: Batch) -> _Fit:
        self._check_returns(batch)
        scaled = (batch.returns - self.lowest) / (self.highest - self.lowest)
        mean, _, size = group_statistics(scaled, batch.group_of_trajectory())
        mean = np.clip(mean, 0.0, 1.0)
        alpha, beta = beta_of_means(mean[batch.trajectory_offsets[:-1]])
        log_density = beta_log_density(mean, alpha, beta)
        weight = np.exp(np.minimum(-log_density, math.log(self.max_weight)))
        weight = np.where(size == 1, 1.0, weight)
        return _Fit(scaled, mean, size, alpha, beta, log_density, weight)

    def _check_returns(self, batch: Batch) -> None:
        fits = (batch.returns >= self.lowest) & (batch.returns <= self.highest)
        if fits.all():
            return
        first = int(np.argmin(fits))
        group = batch.groups[int(batch.group_of_trajectory()[first])]
        raise DataError(
            f"credit method {self.name!r} needs rewards from {self.lowest:g} to {self.highest:g}; "
            f"trajectory {batch.ids[first]!r} of group {group!r} earned "
            f"{batch.returns[first]:g}: set lowest and highest to what an episode can earn"
        )


def beta_of_means(means: Floats) -> tuple[float, float]:
    """Return alpha and beta of the normalising distribution.

    Args:
        means: Scaled mean return of each group, shape [groups].
    """
    if len(means) < 2:
        return 1.0, 1.0
    center, variance = float(means.mean()), float(means.var(ddof=1))
    if variance < _ROUNDING:
        return 1.0, 1.0
    concentration = center * (1 - center) / variance - 1
    alpha, beta = concentration * center, concentration * (1 - center)
    return max(1.0, 1 + alpha / 3), max(1.0, 1 + beta / 3)


def beta_log_density(at: Floats, alpha: float, beta: float) -> Floats:
    """Return the logarithm of the density of Beta(alpha, beta).

    Args:
        at: Between 0 and 1, any shape.
        alpha: At least 1.
        beta: At least 1.
    """
    log_density = np.full(at.shape, math.lgamma(alpha + beta))
    log_density -= math.lgamma(alpha) + math.lgamma(beta)
    with np.errstate(divide="ignore"):
        if alpha > 1:
            log_density += (alpha - 1) * np.log(at)
        if beta > 1:
            log_density += (beta - 1) * np.log1p(-at)
    return log_density


class _Fit(NamedTuple):
    """What the formula works on; arrays of shape [trajectories]."""

    scaled: Floats
    mean: Floats
    size: Ints
    alpha: float
    beta: float
    log_density: Floats
    weight: Floats
