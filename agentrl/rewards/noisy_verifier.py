"""Corrections for a verifier that errs at known rates, and a refusal where they would do nothing.

    rho0 = P(observed 1 | true 0),  rho1 = P(observed 0 | true 1),  rho0 + rho1 < 1

    backward:  r' = (r - rho0) / (1 - rho0 - rho1)            unbiased: E[r' | truth] = truth
    forward:   w(1) = rho1,  w(0) = rho1 - 1                  in place of the advantage

E[w | true 1] = 0 and E[w | true 0] = -(1 - rho0 - rho1), so that w times the score is the clean
gradient times a constant; it needs rho1 alone. Source: arXiv 2510.00915. UNVERIFIED: the forward
weights are derived from that property, and so is the estimator of rho1 below.

With one pair of rates for all, both are affine in the observed reward. An estimator that divides by
a deviation cancels that exactly, and one that subtracts a mean cancels the forward form: then the
correction is refused. It matters with rates per sample, with absolute baselines such as a critic's,
and where rewards are combined with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.errors import ConfigError
from agentrl.rewards.base import Stage, added_at_end, parameters_of, refuse_outcomes
from agentrl.trajectory import Outcome, Signals, Trajectory, Turn

Rate = float | Floats
"""One for all, or one per observation."""


def backward_correction(observed: Floats, false_positive: Rate, false_negative: Rate) -> Floats:
    """Return rewards whose expectation is what a perfect verifier would pay.

    Args:
        observed: What the verifier said, 0 or 1, shape [episodes].
        false_positive: rho0.
        false_negative: rho1.

    Raises:
        ValueError: Rates outside [0, 1), or adding up to 1 or more.
    """
    _check_rates(false_positive, false_negative)
    return (observed - false_positive) / (1.0 - false_positive - false_negative)


def forward_weights(observed: Floats, false_negative: Rate) -> Floats:
    """Return what multiplies the score in place of reward and advantage.

    Args:
        observed: What the verifier said, 0 or 1, shape [episodes].
        false_negative: rho1.

    Raises:
        ValueError: A rate outside [0, 1).
    """
    _check_rates(0.0, false_negative)
    return false_negative - 1.0 + observed


def estimate_false_negatives(
    overturned: int, accepted: int, *, checked_share: float = 1.0, smoothing: float = 1.0
) -> float:
    """Return rho1 estimated from negatives that were judged a second time.

    Args:
        overturned: Negatives that the second judge called right.
        accepted: Positives of the verifier.
        checked_share: Which share of all negatives was judged again; above 0.
        smoothing: Added to both counts, so that little evidence gives no extreme rate.

    Raises:
        ValueError: Counts or share make no sense.
    """
    if overturned < 0 or accepted < 0 or smoothing < 0 or not 0 < checked_share <= 1:
        raise ValueError(
            f"counts must not be negative and the share within (0, 1]; got {overturned} "
            f"overturned, {accepted} accepted, share {checked_share}, smoothing {smoothing}"
        )
    wrong = overturned / checked_share + smoothing
    total = wrong + accepted + smoothing
    return wrong / total if total else 0.0


@dataclass(frozen=True, slots=True)
class NoisyVerifier:
    """Corrects outcomes for a verifier that errs at known rates, the same for all episodes.

    What the environment paid, between 0 and 1, is taken for what the verifier said. Rates per
    episode are for `backward_correction` and `forward_weights` in a trainer of one's own.
    """

    false_positive: float = 0.0
    """rho0: how often the verifier accepts what is wrong."""
    false_negative: float = 0.0
    """rho1: how often it rejects what is right."""
    form: Literal["backward", "forward"] = "backward"
    """`forward` needs rho1 alone and puts weights in the place of rewards."""

    name: ClassVar[str] = "noisy_verifier"
    stage: ClassVar[Stage] = "outcome"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        if self.form not in ("backward", "forward"):
            raise ConfigError(
                f"reward transform {self.name!r}: no form {self.form!r}; use backward or forward"
            )
        with parameters_of(self.name):
            self.corrected(np.empty(0))

    def __call__(self, batch: Batch, signals: Signals) -> Batch:
        """Return the batch with corrected outcomes; the difference is paid at the last turn.

        Raises:
            DataError: An outcome is not between 0 and 1; names the trajectory.
        """
        refuse_outcomes(self.name, batch, lowest=0.0, highest=1.0)
        return added_at_end(batch, self.corrected(batch.returns) - batch.returns)

    def corrected(self, observed: Floats) -> Floats:
        """Return the corrected outcomes, shape [episodes]."""
        if self.form == "forward":
            return forward_weights(observed, self.false_negative)
        return backward_correction(observed, self.false_positive, self.false_negative)


def refuse_cancelled(
    form: Literal["backward", "forward"],
    methods: Sequence[Any],
    false_positive: Rate,
    false_negative: Rate,
) -> None:
    """Refuse a correction that the credit list's estimator would cancel.

    The estimator is asked: it gets a small batch with rewards as observed and as corrected. One
    that needs signals (a critic's values) has an absolute baseline, and passes.

    Args:
        form: Which correction.
        methods: A credit list, as in the configuration or parsed.
        false_positive: rho0.
        false_negative: rho1.

    Raises:
        ConfigError: The advantages would be the same without it.
        ValueError: The rates make no sense.
    """
    from agentrl.credit import assign, parse

    if not (_is_uniform(false_positive) and _is_uniform(false_negative)):
        return
    plain = [m for m in parse(methods) if m.stage in ("outcome", "normalise")]
    if any(method.needs for method in plain):
        return
    rates = [float(np.mean(rate)) for rate in (false_positive, false_negative)]
    observed = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    if form == "backward":
        corrected = backward_correction(observed, *rates)
    else:
        corrected = forward_weights(observed, rates[1])
    with_it, without = (assign(_probe(r), plain) for r in (corrected, observed))
    if np.allclose(with_it, without, rtol=1e-4, atol=1e-4) and not np.allclose(corrected, observed):
        names = ", ".join(method.name for method in plain)
        raise ConfigError(
            f"the {form} correction of a noisy verifier does nothing under credit [{names}], which "
            "cancels a shift or scale that is the same for all rewards; use "
            + ("'rloo', 'dr_grpo' or 'gae'" if form == "backward" else "'gae'")
            + ", give rates per sample, or leave the correction out"
        )


def _probe(rewards: Floats) -> Batch:
    """Return one-turn episodes with these rewards in two groups of four."""
    return Batch.from_trajectories(
        Trajectory(str(i), str(i // 4), str(i), [Turn("", "", float(reward))], Outcome.FAILURE)
        for i, reward in enumerate(rewards)
    )


def _is_uniform(rate: Rate) -> bool:
    return bool(np.ptp(np.asarray(rate)) == 0) if np.size(rate) else True


def _check_rates(false_positive: Rate, false_negative: Rate) -> None:
    rates = [np.asarray(rate, np.float64) for rate in (false_positive, false_negative)]
    if not all(((rate >= 0) & (rate < 1)).all() for rate in rates):
        raise ValueError("error rates must be at least 0 and below 1")
    if not (rates[0] + rates[1] < 1).all():
        raise ValueError(
            "false-positive and false-negative rate must add up to less than 1: a verifier that "
            "errs more often than that says nothing"
        )
