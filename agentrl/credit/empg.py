"""EMPG: confident turns move the policy more, and turns that lead to clarity earn a bonus.

    n_t  = (H_t - min(H)) / (max(H) - min(H) + eps)      over all turns of the batch
    g_t  = exp(-k * n_t) / mean(exp(-k * n))             mean 1
    f_t  = exp(-k' * n_t)
    A'_t = A_t * g_t + zeta * f_{t+1}                    the bonus of a last turn is 0
    A''  = A' - mean(A')                                 over turns

Source: Wang et al., Harnessing Uncertainty: Entropy-Modulated Policy Gradients, arXiv 2509.09265,
section 3 (self-calibrating gradient scaling, future clarity bonus). H_t is the mean over the
turn's sampled tokens of the entropy of the full vocabulary, under the distribution of the old
log-probabilities.

UNVERIFIED: the values of k, k' and zeta behind the published tables. The authors' page has k = k'
= 1 and zeta = 0.1, a second implementation 0.05, which is the default here. The percentile clip
is ours: one broken turn stretches the range and so squeezes all the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from agentrl.batch import Batch, Floats, Ints
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_positive, signal_per_token
from agentrl.credit.signals import refuse_missing, token_means
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class Empg:
    """Entropy-modulated policy gradients."""

    k: float = 1.0
    """How sharply uncertain turns are scaled down."""
    k_clarity: float = 1.0
    """How sharply the bonus falls with the next turn's entropy: k'."""
    zeta: float = 0.05
    """Weight of the future-clarity bonus."""
    centre: bool = True
    """Whether the mean over turns is subtracted at the end."""
    clip_percentile: float = 100.0
    """Entropies are clipped to this percentile and to 100 minus it before the range is taken; 100
    leaves them as they are."""
    eps: float = 1e-8
    """Added to the range of entropies."""

    name: ClassVar[str] = "empg"
    stage: ClassVar[Stage] = "modulate"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset({"entropy"})

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_positive(self.name, "k", self.k, or_zero=True)
        check_positive(self.name, "k_clarity", self.k_clarity, or_zero=True)
        check_positive(self.name, "zeta", self.zeta, or_zero=True)
        check_positive(self.name, "eps", self.eps)
        if not 50 < self.clip_percentile <= 100:
            raise ConfigError(
                f"credit method {self.name!r}: clip_percentile must be above 50 and at most 100, "
                f"not {self.clip_percentile!r}"
            )

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn; a turn without sampled tokens keeps its own."""
        assert advantages is not None
        turns, _, scale, bonus = self._modulation(batch, signals)
        modulated = advantages[turns] * scale + bonus
        if self.centre and len(turns):
            modulated -= modulated.mean()
        values = advantages.copy()
        values[turns] = modulated
        return values

    def metrics(self, batch: Batch, signals: Signals) -> dict[str, float]:
        """Return mean and largest entropy of a turn, and the spread of the scales.

        Where one turn's entropy is far above the mean, all others are scaled alike.
        """
        _, entropy, scale, _ = self._modulation(batch, signals)
        if not entropy.size:
            return {"mean_entropy": 0.0, "max_entropy": 0.0, "scale_spread": 0.0}
        return {
            "mean_entropy": float(entropy.mean()),
            "max_entropy": float(entropy.max()),
            "scale_spread": float(scale.std()),
        }

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return each turn's entropy, scale and bonus."""
        why: Why = [{} for _ in range(batch.num_turns)]
        for turn, entropy, scale, bonus in zip(*self._modulation(batch, signals), strict=True):
            why[turn] = {
                "entropy": float(entropy),
                "scale": float(scale),
                "clarity_bonus": float(bonus),
            }
        return why

    def _modulation(self, batch: Batch, signals: Signals) -> _Modulation:
        """Return the turns with sampled tokens and their entropy, scale and bonus."""
        turns = np.flatnonzero(batch.sampled_per_turn() > 0)
        entropy = self._entropy(batch, signals)[turns]
        if not len(turns):
            return _Modulation(turns, entropy, entropy, entropy)
        clipped = entropy
        if self.clip_percentile < 100:
            bounds = np.percentile(entropy, [100 - self.clip_percentile, self.clip_percentile])
            clipped = np.clip(entropy, *bounds)
        low, high = clipped.min(), clipped.max()
        normalised = (clipped - low) / (high - low + self.eps)
        scale = np.exp(-self.k * normalised)
        clarity = np.exp(-self.k_clarity * normalised)
        owner = batch.trajectory_of_turn()[turns]
        bonus = np.zeros(len(turns))
        bonus[:-1] = np.where(owner[:-1] == owner[1:], self.zeta * clarity[1:], 0.0)
        return _Modulation(turns, entropy, scale / scale.mean(), bonus)

    def _entropy(self, batch: Batch, signals: Signals) -> Floats:
        entropy = token_means(signal_per_token(self.name, "entropy", batch, signals), batch)
        refuse_missing(
            self.name,
            "finite values of the signal 'entropy'",
            batch,
            ~np.isfinite(entropy),
            "give the entropy of each of its sampled tokens, or leave empg out",
        )
        return entropy


class _Modulation(NamedTuple):
    turns: Ints
    entropy: Floats
    scale: Floats
    bonus: Floats
