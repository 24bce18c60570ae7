"""Each limit stops an update, says which it was, and says what to look at."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from agentrl.config import DriftConfig
from agentrl.errors import DriftError
from agentrl.learner.drift import Drift, Gaps
from agentrl.learner.drift_limits import MIN_TOKENS, check_drift

OPEN = DriftConfig(max_gap_mean=None, min_ess=None)


def gaps(mean: float, tokens: int = 100, **fields: float) -> Gaps:
    return Gaps(
        **{"tokens": tokens, "mean": mean, "signed": 0.0, "p99": mean, "max": mean, **fields}
    )


def drift(**fields: Any) -> Drift:
    """Return a drift without a fault, changed in some fields."""
    calm = Drift(
        all=gaps(0.01),
        fresh=gaps(0.01),
        stale=None,
        turns={"0": gaps(0.01), "1": gaps(0.01)},
        ess=0.99,
        ess_episodes=0.95,
        prefix_breaks=0.0,
        truncated=0.0,
        episodes_truncated=0.0,
    )
    return dataclasses.replace(calm, **fields)


def test_no_drift_is_no_error() -> None:
    check_drift(drift(), DriftConfig())
    check_drift(drift(all=None, fresh=None, turns={}, ess=None, ess_episodes=None), DriftConfig())


@pytest.mark.parametrize(
    ("limit", "value", "fields"),
    [
        ("max_gap_mean", 0.2, {"fresh": gaps(0.3)}),
        ("max_gap_p99", 1.0, {"fresh": gaps(0.1, p99=2.0)}),
        ("max_stale_gap_mean", 0.2, {"stale": gaps(0.3)}),
        ("min_ess", 0.5, {"ess": 0.4}),
        ("min_ess_episodes", 0.5, {"ess_episodes": 0.4}),
        ("max_prefix_breaks", 0.5, {"prefix_breaks": 0.6}),
        ("max_truncated", 0.5, {"truncated": 0.6}),
        ("max_episodes_truncated", 0.5, {"episodes_truncated": 0.6}),
    ],
)
def test_every_limit(limit: str, value: float, fields: dict[str, Any]) -> None:
    over = drift(**fields)
    limits = OPEN.model_copy(update={limit: value})
    with pytest.raises(DriftError, match=rf"drift\.{limit}\b") as caught:
        check_drift(over, limits)
    assert "\n" not in str(caught.value)
    assert caught.value.figures == over.figures()
    check_drift(drift(), limits)
    check_drift(over, OPEN)


def test_the_limits_that_hold_without_a_word() -> None:
    with pytest.raises(DriftError, match=r"max_gap_mean is 0\.2"):
        check_drift(drift(fresh=gaps(0.21)), DriftConfig())
    with pytest.raises(DriftError, match=r"min_ess is 0\.1"):
        check_drift(drift(ess=0.09), DriftConfig())
    # Of older weights a gap is to be expected.
    check_drift(drift(stale=gaps(5.0)), DriftConfig())


@pytest.mark.parametrize(("fault", "words"), [("engine", "engine's log"), ("learner", "diverged")])
def test_nonsense_is_refused_whatever_the_limits(fault: str, words: str) -> None:
    with pytest.raises(DriftError, match=words):
        check_drift(drift(**{f"{fault}_fault": "nan in turn 0 of trajectory 'e'"}), OPEN)


def test_a_few_tokens_decide_nothing() -> None:
    few = gaps(3.0, MIN_TOKENS - 1)
    check_drift(drift(all=few, fresh=few, ess=0.01), DriftConfig())
    with pytest.raises(DriftError):
        check_drift(drift(fresh=gaps(3.0, MIN_TOKENS)), DriftConfig())


def test_the_likely_cause() -> None:
    def said(**fields: Any) -> str:
        with pytest.raises(DriftError) as caught:
            check_drift(drift(**fields), DriftConfig(max_stale_gap_mean=0.2))
        return str(caught.value)

    growing = {"0": gaps(0.01), "1": gaps(0.5), "2-3": gaps(0.9)}
    assert "turn 0: 0.01; turn 2-3: 0.9" in said(fresh=gaps(0.5), turns=growing)
    assert "the engine's cache is of older weights" in said(fresh=gaps(0.5), turns=growing)
    assert "more probable than the engine says" in said(fresh=gaps(0.5, signed=0.4))
    assert "other weights" in said(fresh=gaps(0.5, signed=-0.4))
    moved = "lower learner.learning_rate or schedule.max_staleness"
    assert moved in said(stale=gaps(0.5))
    assert moved in said(stale=gaps(0.5), ess=0.01)
    assert moved not in said(stale=gaps(0.5), fresh=gaps(0.4))
