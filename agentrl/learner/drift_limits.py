"""Refuses to learn from a batch whose drift is over a limit, in words that say what to look at."""

from __future__ import annotations

from collections.abc import Iterator

from agentrl.config import DriftConfig
from agentrl.errors import DriftError
from agentrl.learner.drift import Drift, Gaps

MIN_TOKENS = 32
"""Means over fewer tokens are not held against a limit: one rounding error may decide them."""


def check_drift(drift: Drift, limits: DriftConfig) -> None:
    """Raise `DriftError` where numbers are nonsense or a figure is over its limit."""
    for problem in (
        *_faults(drift),
        *_gaps(drift, limits),
        *_weights(drift, limits),
        *_shares(drift, limits),
    ):
        raise DriftError(problem, drift.figures())


def _faults(drift: Drift) -> Iterator[str]:
    if drift.engine_fault is not None:
        yield (
            f"the engine reported a log-probability of {drift.engine_fault}; look into the "
            "engine's log, and start it anew"
        )
    if drift.learner_fault is not None:
        yield (
            f"the learner computes a log-probability of {drift.learner_fault}: its weights have "
            "diverged, or their type overflows; go back to an earlier checkpoint with a lower "
            "learner.learning_rate, or set policy.dtype=float32 and learner.autocast=false"
        )


def _gaps(drift: Drift, limits: DriftConfig) -> Iterator[str]:
    for name, gaps, value, limit in (
        ("max_gap_mean", drift.fresh, "mean", limits.max_gap_mean),
        ("max_gap_p99", drift.fresh, "p99", limits.max_gap_p99),
        ("max_stale_gap_mean", drift.stale, "mean", limits.max_stale_gap_mean),
    ):
        if gaps is None or limit is None or gaps.tokens < MIN_TOKENS:
            continue
        found = getattr(gaps, value)
        if found > limit:
            whose = "older weights" if gaps is drift.stale else "the current weights"
            yield (
                f"engine and learner are {found:.3g} nats per token apart ({value} of "
                f"{gaps.tokens} tokens that {whose} sampled{_turns(drift)}), and drift.{name} is "
                f"{limit:g}; {_cause(drift, gaps)}"
            )


def _weights(drift: Drift, limits: DriftConfig) -> Iterator[str]:
    for name, found, limit, of in (
        ("min_ess", drift.ess, limits.min_ess, "tokens"),
        ("min_ess_episodes", drift.ess_episodes, limits.min_ess_episodes, "episodes"),
    ):
        if found is None or limit is None or drift.all is None or drift.all.tokens < MIN_TOKENS:
            continue
        if found < limit:
            yield (
                f"the importance weights leave {found:.2%} of the {of} as effective samples "
                f"(mean gap {drift.all.mean:.3g} nats{_turns(drift)}), and drift.{name} is "
                f"{limit:g}; {_cause(drift, drift.all)}"
            )


def _shares(drift: Drift, limits: DriftConfig) -> Iterator[str]:
    for name, found, limit, what in (
        (
            "max_prefix_breaks",
            drift.prefix_breaks,
            limits.max_prefix_breaks,
            "of the later turns do not go on from the prompt before; look at dialogue.memory and "
            "the model's chat template",
        ),
        (
            "max_truncated",
            drift.truncated,
            limits.max_truncated,
            "of the turns were cut short at the token limit; raise dialogue.max_turn_tokens",
        ),
        (
            "max_episodes_truncated",
            drift.episodes_truncated,
            limits.max_episodes_truncated,
            "of the episodes were cut off before they ended; raise the environment's turns or the "
            "context length",
        ),
    ):
        if limit is not None and found > limit:
            yield f"{found:.1%} {what}, or drift.{name}, which is {limit:g}"


def _turns(drift: Drift) -> str:
    """Return the gaps of the first and the worst turns, where they differ."""
    if len(drift.turns) < 2:
        return ""
    first = next(iter(drift.turns))
    worst = max(drift.turns, key=lambda label: drift.turns[label].mean)
    if worst == first:
        worst = next(reversed(drift.turns))
    return "".join(f"; turn {label}: {drift.turns[label].mean:.3g}" for label in (first, worst))


def _cause(drift: Drift, gaps: Gaps) -> str:
    """Return what such a gap usually comes from."""
    stale, fresh = drift.stale, drift.fresh
    if stale is not None and gaps is not fresh and (fresh is None or stale.mean > 3 * fresh.mean):
        return (
            "most of it is of tokens that older weights sampled, from which the policy has moved "
            "away: lower learner.learning_rate or schedule.max_staleness"
        )
    means = [part.mean for part in drift.turns.values() if part.tokens >= MIN_TOKENS]
    if means and max(means[1:], default=0.0) > 3 * means[0]:
        return (
            "it grows with the turn: the engine's cache is of older weights, or what it read is "
            "not what the learner reads"
        )
    if gaps.signed > 0.1 * gaps.mean:
        return (
            "the learner finds the tokens more probable than the engine says: its probabilities "
            "are of another distribution than it samples from (logprobs mode, temperature)"
        )
    return (
        "the engine samples from other weights (a sync that failed, another model), at another "
        "temperature, with top_p or top_k, or in a coarser number type than the learner's"
    )
