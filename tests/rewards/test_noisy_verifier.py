from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.errors import ConfigError
from agentrl.rewards.noisy_verifier import (
    NoisyVerifier,
    backward_correction,
    estimate_false_negatives,
    forward_weights,
    refuse_cancelled,
)

BINARY = np.array([1.0, 0.0])


def test_worked_example():
    assert backward_correction(BINARY, 0.1, 0.2) == pytest.approx([1.285714, -0.142857], abs=1e-6)
    assert forward_weights(BINARY, 0.2) == pytest.approx([0.2, -0.8])


@given(rho0=st.floats(0, 0.49), rho1=st.floats(0, 0.49))
def test_expectations_given_the_truth(rho0: float, rho1: float) -> None:
    if_true, if_false = np.array([1 - rho1, rho1]), np.array([rho0, 1 - rho0])
    corrected = backward_correction(BINARY, rho0, rho1)
    assert corrected @ if_true == pytest.approx(1)
    assert corrected @ if_false == pytest.approx(0, abs=1e-9)
    weights = forward_weights(BINARY, rho1)
    assert weights @ if_true == pytest.approx(0, abs=1e-9)
    assert weights @ if_false == pytest.approx(-(1 - rho0 - rho1))


def test_rates_per_sample():
    got = backward_correction(BINARY, np.array([0.1, 0.0]), np.array([0.2, 0.5]))
    assert got == pytest.approx([1.285714, 0.0], abs=1e-6)


@pytest.mark.parametrize(
    "methods",
    [["grpo"], ["reinforce_pp_baseline"], ["rloo", "whiten"], ["dr_mas"], [{"grpo": {"ddof": 0}}]],
)
@pytest.mark.parametrize("form", ["backward", "forward"])
def test_refused_where_it_would_be_cancelled(methods, form):
    with pytest.raises(ConfigError, match=rf"the {form} correction .* does nothing") as caught:
        refuse_cancelled(form, methods, 0.1, 0.2)
    assert "\n" not in str(caught.value)


def test_a_centred_estimator_cancels_the_forward_form_alone():
    for methods in (["rloo"], ["dr_grpo"]):
        refuse_cancelled("backward", methods, 0.1, 0.2)
        with pytest.raises(ConfigError, match="use 'gae'"):
            refuse_cancelled("forward", methods, 0.1, 0.2)


def test_absolute_baselines_and_rates_per_sample_pass():
    for form in ("backward", "forward"):
        refuse_cancelled(form, ["gae"], 0.1, 0.2)
        refuse_cancelled(form, ["grpo"], np.array([0.1, 0.2]), 0.2)
    refuse_cancelled("backward", ["grpo"], np.array([0.0, 0.0]), 0.0)
    with pytest.raises(ConfigError, match="does nothing"):
        refuse_cancelled("backward", ["grpo"], np.array([0.1, 0.1]), 0.2)


def test_what_stands_between_is_not_asked():
    with pytest.raises(ConfigError, match=r"\[grpo\]"):
        refuse_cancelled("backward", ["grpo", "igpo", "empg"], 0.1, 0.2)


def test_false_negatives_from_appeals():
    assert estimate_false_negatives(20, 80, smoothing=0) == pytest.approx(0.2)
    assert estimate_false_negatives(10, 80, checked_share=0.5, smoothing=0) == pytest.approx(0.2)
    assert estimate_false_negatives(0, 0) == pytest.approx(0.5)
    assert estimate_false_negatives(0, 0, smoothing=0) == 0.0
    with pytest.raises(ValueError, match="share"):
        estimate_false_negatives(1, 1, checked_share=0.0)


@pytest.mark.parametrize(("rho0", "rho1"), [(0.5, 0.5), (-0.1, 0.2), (0.1, 1.0), (0.6, 0.6)])
def test_senseless_rates(rho0, rho1):
    with pytest.raises(ValueError, match="rate"):
        backward_correction(BINARY, rho0, rho1)


def test_a_batch(gather):
    batch = gather(([0.0, 1.0], {}), ([0.0, 0.0], {}), ([], {}))
    after = NoisyVerifier(0.1, 0.2)(batch, {})
    assert after.returns == pytest.approx([1.285714, -0.142857, -0.142857], abs=1e-6)
    assert after.rewards == pytest.approx([0, 1.285714, 0, -0.142857], abs=1e-6)
    weights = NoisyVerifier(false_negative=0.2, form="forward")(batch, {})
    assert weights.returns == pytest.approx([0.2, -0.8, -0.8])
