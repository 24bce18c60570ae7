"""Overlong shaping: a price that rises over the last tokens before the length limit.

    p = -factor * min(max((length - (limit - buffer)) / buffer, 0), 1)

Source: Yu et al., DAPO, arXiv 2503.14476, section 3.4 (soft overlong punishment). The length is
that of what the policy sampled, not of what it read.
"""

from __future__ import annotations

import numpy as np

from agentrl.batch import Floats, Ints


def overlong_penalty(
    lengths: Ints, *, limit: int = 20_480, buffer: int = 4_096, factor: float = 1.0
) -> Floats:
    """Return what is added to each episode's reward: between -factor and 0.

    Args:
        lengths: Sampled tokens of each episode, shape [episodes].
        limit: The length at which the whole price is paid.
        buffer: How many tokens before it the price begins.
        factor: The whole price; not negative.

    Raises:
        ValueError: The buffer is not within the limit, or the factor is negative.
    """
    if not 0 < buffer <= limit:
        raise ValueError(f"buffer must be above 0 and at most the limit {limit}, not {buffer}")
    if factor < 0:
        raise ValueError(f"the price is subtracted, so it must not be negative; got {factor}")
    excess = (lengths - (limit - buffer)) / buffer
    # Adding 0 turns the -0.0 of short episodes into 0.0.
    return -factor * np.clip(excess, 0.0, 1.0) + 0.0
