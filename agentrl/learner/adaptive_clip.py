"""Clip bounds that let good tokens have their share of the surrogate (BAPO).

    share(c_low, c_high) = sum over A > 0 of p A min(rho, c_high)
                           / (the same + sum over A < 0 of p |A| max(rho, c_low))

Bounds start low and are raised one after the other, step by step, until the share reaches its
target or both are at their ends. p is the probability the token was drawn with, or 1.

Raising c_low never raises the share as it is defined; it takes gradients away from tokens with
negative advantage, which is what the authors do where c_high alone does not suffice.

Source: Xi et al. 2025, BAPO, arXiv 2510.18927, and the authors' code, which raises c_low first,
does not weigh by p, and asks that positive tokens outweigh negative ones (target 0.5). Which target
the paper's figures were made with is not verified.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agentrl.batch import Floats
from agentrl.config import AdaptiveClipConfig


class Bounds(NamedTuple):
    """What a search ended with."""

    low: float
    """Lower bound on the ratio."""
    high: float
    """Upper bound on the ratio."""
    share: float
    """Of tokens with positive advantage in the surrogate; 1 where there are no others."""


def search_bounds(
    log_ratios: Floats, advantages: Floats, weights: Floats, config: AdaptiveClipConfig
) -> Bounds:
    """Return the first bounds under which good tokens have their share.

    Args:
        log_ratios: logp - logp_old of the minibatch's tokens, shape [tokens].
        advantages: Shape [tokens].
        weights: How much each token counts, shape [tokens].
        config: Ranges, steps, order and target.
    """
    ratios = np.exp(np.clip(log_ratios, -20, 20))
    good, bad = advantages > 0, advantages < 0
    gains, gain_ratios = (weights * advantages)[good], ratios[good]
    losses, loss_ratios = -(weights * advantages)[bad], ratios[bad]

    def share(low: float, high: float) -> float:
        gained = float(gains @ np.minimum(gain_ratios, high))
        lost = float(losses @ np.maximum(loss_ratios, low))
        return gained / (gained + lost) if gained + lost > 0 else 1.0

    lows = _steps(*config.low, config.low_step)
    highs = _steps(*config.high, config.high_step)
    if config.first == "high":
        path = [(lows[0], high) for high in highs] + [(low, highs[-1]) for low in lows[1:]]
    else:
        path = [(low, highs[0]) for low in lows] + [(lows[-1], high) for high in highs[1:]]
    found = Bounds(*path[0], share(*path[0]))
    for low, high in path[1:]:
        if found.share >= config.target:
            break
        found = Bounds(low, high, share(low, high))
    return found


def _steps(start: float, end: float, step: float) -> list[float]:
    """Return start, start + step, ... up to end, which is always the last."""
    # Slack: 0.6 + 15 * 0.02 is a little more or less than 0.9.
    count = int(np.ceil((end - start) / step - 1e-9))
    return [*(start + step * np.arange(count)).tolist(), end]
