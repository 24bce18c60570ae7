"""The drift meter's figures: how far the engine that sampled is from the learner that learns.

    gap = log p_learner - log p_engine        of a sampled token, in nats
    w   = exp(gap)                            its importance weight
    ESS = (sum w)^2 / (n sum w^2)             effective sample size, as a share of n tokens

Both probabilities are of the distribution that was sampled from: temperature and restriction
included. An episode's weight is the product of its tokens'. Tokens are *fresh* where the weights
that the learner holds sampled them: their gap is the engine's doing. Others are *stale*: the policy
has moved on since. Numbers that are not finite never enter a figure; they are told of instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from agentrl.batch import Batch, Bools, Floats, Ints
from agentrl.learner.checks import place_of_token

_ROUNDING = 0.01
"""By how much rounding may lift a log-probability above 0."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Statistics of the gaps of some tokens."""

    tokens: int
    mean: float
    """Of the absolute gaps."""
    signed: float
    """Mean of the gaps: near 0, and below it, where the engine samples from what it reports."""
    p99: float
    """99 of 100 absolute gaps are at most this."""
    max: float
    """The largest absolute gap."""

    def figures(self, prefix: str) -> dict[str, float]:
        """Return the statistics as `{prefix}_mean` and so on."""
        names = (field.name for field in fields(self) if field.name != "tokens")
        return {f"{prefix}_{name}": getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Drift:
    """What the meter read in one update."""

    all: Gaps | None
    """None, here and below: there are no such tokens."""
    fresh: Gaps | None
    stale: Gaps | None
    turns: dict[str, Gaps]
    """Of all tokens, by the turn's index: `0`, `1`, `2-3`, `4-7`, …."""
    ess: float | None
    ess_episodes: float | None
    prefix_breaks: float
    """Share of turns after an episode's first whose prompt does not go on from the turn before."""
    truncated: float
    """Share of turns whose sampling ended at the token limit."""
    episodes_truncated: float
    """Share of episodes cut off before the environment ended them."""
    engine_fault: str | None = None
    """What the engine reported that is no log-probability."""
    learner_fault: str | None = None
    """The same of the learner."""

    def figures(self) -> dict[str, float]:
        """Return all figures as flat names and numbers, for metric logs."""
        found: dict[str, float] = {}
        if self.all is not None:
            found |= self.all.figures("drift/gap")
            found["drift/stale_tokens"] = self.stale.tokens / self.all.tokens if self.stale else 0.0
        if self.stale is not None:
            found |= self.stale.figures("drift/stale_gap")
            found |= self.fresh.figures("drift/fresh_gap") if self.fresh is not None else {}
        for label, gaps in self.turns.items():
            found[f"drift/gap_mean_turn/{label}"] = gaps.mean
            found[f"drift/gap_p99_turn/{label}"] = gaps.p99
        if self.ess is not None and self.ess_episodes is not None:
            found |= {"drift/ess": self.ess, "drift/ess_episodes": self.ess_episodes}
        return found | {
            "drift/prefix_breaks": self.prefix_breaks,
            "drift/truncated": self.truncated,
            "drift/episodes_truncated": self.episodes_truncated,
        }


def measure(
    batch: Batch, logprobs: Floats, measured: Bools, *, version: int | None = None
) -> Drift:
    """Return the figures of a batch.

    Args:
        batch: What was sampled.
        logprobs: The learner's, before the update, shape [tokens].
        measured: The tokens that it gives log-probabilities of, shape [tokens].
        version: Of the learner's weights; None: those that sampled the newest tokens.
    """
    turns = batch.turn_of_token()
    nonsense = _nonsense(batch, turns)
    unlearned = measured & ~np.isfinite(logprobs)
    used = measured & np.isfinite(batch.logprobs) & ~nonsense & ~unlearned
    tokens = np.flatnonzero(used)
    gaps = logprobs[tokens] - batch.logprobs[tokens]
    turns = turns[tokens]
    versions = batch.token_versions()[tokens]
    fresh = versions >= (versions.max(initial=0) if version is None else version)
    trajectories = batch.trajectory_of_turn()
    _, episodes = np.unique(trajectories[turns], return_inverse=True)
    of_episodes = np.bincount(episodes, weights=gaps).astype(np.float64)
    later = np.ones(batch.num_turns, np.bool_)
    later[batch.turn_offsets[:-1][np.diff(batch.turn_offsets) > 0]] = False
    return Drift(
        all=statistics(gaps),
        fresh=statistics(gaps[fresh]),
        stale=statistics(gaps[~fresh]),
        turns=_by_turn(gaps, turns - batch.turn_offsets[trajectories[turns]]),
        ess=effective_sample_size(gaps),
        ess_episodes=effective_sample_size(of_episodes),
        prefix_breaks=_share(batch.starts_segment[later]),
        truncated=_share(batch.cut_short),
        episodes_truncated=_share(batch.truncated),
        engine_fault=_fault(batch, nonsense, batch.logprobs),
        learner_fault=_fault(batch, unlearned, logprobs),
    )


def statistics(gaps: Floats) -> Gaps | None:
    """Return the statistics of finite gaps, shape [n]; None where there are none."""
    if not len(gaps):
        return None
    sizes = np.abs(gaps)
    last = math.ceil(0.99 * len(sizes)) - 1
    return Gaps(
        tokens=len(gaps),
        mean=float(sizes.mean()),
        signed=float(gaps.mean()),
        p99=float(np.partition(sizes, last)[last]),
        max=float(sizes.max()),
    )


def effective_sample_size(log_weights: Floats) -> float | None:
    """Return (sum w)^2 / (n sum w^2), in (0, 1]; None where there are no weights.

    Args:
        log_weights: Finite, shape [n].
    """
    if not len(log_weights):
        return None
    # Scaling all weights changes nothing, and with the largest at 1 nothing overflows.
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (len(weights) * np.square(weights).sum()))


def _by_turn(gaps: Floats, indices: Ints) -> dict[str, Gaps]:
    """Return the statistics of turns 0, 1, 2 to 3, 4 to 7 and so on, as far as there are tokens."""
    found: dict[str, Gaps] = {}
    bins = np.frexp(indices)[1]  # the number of binary digits
    for digits in np.unique(bins).tolist():
        first, last = (1 << digits) >> 1, (1 << digits) - 1
        label = f"{first}" if first == last else f"{first}-{last}"
        part = statistics(gaps[bins == digits])
        assert part is not None
        found[label] = part
    return found


def _nonsense(batch: Batch, turns: Ints) -> Bools:
    """Return which tokens the engine gave no log-probability of, in turns where it gave any."""
    missing = np.isnan(batch.logprobs) & batch.sampled
    absent = np.bincount(turns[missing], minlength=batch.num_turns) == batch.sampled_per_turn()
    # A turn without any, as of a replay, is a matter of the learner's options.
    missing &= ~absent[turns]
    return missing | (batch.sampled & (np.isinf(batch.logprobs) | (batch.logprobs > _ROUNDING)))


def _fault(batch: Batch, wrong: Bools, logprobs: npt.NDArray[np.floating]) -> str | None:
    tokens = np.flatnonzero(wrong)
    if not len(tokens):
        return None
    first = int(tokens[0])
    return (
        f"{logprobs[first]:.4g} in {place_of_token(batch, first)}, and {len(tokens)} such of "
        f"{int(batch.sampled.sum())} sampled tokens in all"
    )


def _share(flags: Bools) -> float:
    return float(flags.mean()) if len(flags) else 0.0
