from __future__ import annotations

import numpy as np
import pytest

from agentrl.rewards.overlong import Overlong, overlong_penalty


def test_worked_example():
    lengths = np.array([0, 16_384, 17_000, 18_000, 20_480, 99_999])
    expected = [0, 0, -0.150391, -0.394531, -1, -1]
    assert overlong_penalty(lengths) == pytest.approx(expected, abs=1e-6)


def test_factor_and_limits():
    lengths = np.array([5, 8, 10, 12])
    got = overlong_penalty(lengths, limit=10, buffer=5, factor=0.5)
    assert got == pytest.approx([0, -0.3, -0.5, -0.5])
    assert str(got[0]) == "0.0"
    assert overlong_penalty(np.empty(0, np.int64)).shape == (0,)


@pytest.mark.parametrize("parameters", [{"buffer": 0}, {"buffer": 99_999}, {"factor": -1.0}])
def test_misuse_is_refused(parameters):
    with pytest.raises(ValueError, match=r"buffer|negative"):
        overlong_penalty(np.array([1]), **parameters)


def test_a_batch_pays_by_what_was_sampled_at_the_last_turn(gather):
    short, long = ([0.0, 1.0], {"tokens": 2}), ([0.0, 0.0, 1.0], {"tokens": 2})
    after = Overlong(limit=8, buffer=4, factor=0.5)(gather(short, long), {})
    assert after.rewards.tolist() == [0, 1, 0, 0, 0.75]
    assert after.returns.tolist() == [1, 0.75]
