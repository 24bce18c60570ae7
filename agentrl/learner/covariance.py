"""Which tokens make the entropy collapse: those of high covariance (Clip-Cov and KL-Cov).

    cov_n = (A_n - mean A) (logp_n - mean logp)       over all tokens chosen in a minibatch

Clip-Cov mutes max(1, floor(share n)) tokens drawn at random among those that PPO does not clip and
whose covariance lies between two bounds; KL-Cov holds the max(1, floor(share n)) highest with a
penalty. log p is that of the weights the minibatch's step starts from.

Source: Cui et al. 2025, The Entropy Mechanism of RL for Reasoning Language Models, arXiv
2505.22617.
"""

from __future__ import annotations

import math

import numpy as np

from agentrl.batch import Bools, Floats


def covariances(advantages: Floats, logprobs: Floats) -> Floats:
    """Return the covariance that each token contributes, shape [tokens].

    Args:
        advantages: Of all tokens chosen in a minibatch, shape [tokens].
        logprobs: Under the current weights, shape [tokens].
    """
    if not len(advantages):
        return np.zeros(0)
    contributed: Floats = (advantages - advantages.mean()) * (logprobs - logprobs.mean())
    return contributed


def clip_cov_tokens(
    values: Floats,
    is_clipped: Bools,
    *,
    low: float,
    high: float,
    share: float,
    rng: np.random.Generator,
) -> Bools:
    """Return the tokens that Clip-Cov mutes, shape [tokens].

    Args:
        values: See `covariances`.
        is_clipped: The tokens that PPO clips already, shape [tokens].
        low: Candidates are above.
        high: Candidates are below.
        share: How many of all tokens are muted.
        rng: Draws among candidates; not touched where all of them are muted.
    """
    muted = np.zeros(len(values), np.bool_)
    candidates = np.flatnonzero(~is_clipped & (values > low) & (values < high))
    count = _count(share, len(values))
    if len(candidates) > count:
        candidates = rng.choice(candidates, count, replace=False)
    muted[candidates] = True
    return muted


def kl_cov_tokens(values: Floats, *, share: float) -> Bools:
    """Return the tokens of highest covariance, the first ones among equals, shape [tokens]."""
    picked = np.zeros(len(values), np.bool_)
    picked[np.argsort(-values, kind="stable")[: _count(share, len(values))]] = True
    return picked


def _count(share: float, tokens: int) -> int:
    return max(1, math.floor(share * tokens))
