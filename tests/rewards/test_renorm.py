from __future__ import annotations

import numpy as np
import pytest

from agentrl.errors import ConfigError, DataError
from agentrl.rewards.renorm import Renorm, renorm_rewards

OFFSETS = np.array([0, 3, 3, 5])


def test_process_scores_count_against_a_failure():
    process = np.array([1.0, 0.5, 0.0, 1.0, 0.25])
    outcomes = np.array([1.0, 1.0, 0.0])
    assert renorm_rewards(process, outcomes, OFFSETS).tolist() == [1.0, 0.5, 1.0, 0.0, 0.0]
    hybrid = renorm_rewards(process, outcomes, OFFSETS, last="hybrid")
    assert hybrid.tolist() == [1.0, 0.5, 0.0, 0.0, -0.75]
    assert process.tolist() == [1.0, 0.5, 0.0, 1.0, 0.25]


def test_both_parts_are_centred_on_one_half():
    rng = np.random.default_rng(0)
    process, outcomes = rng.random(5), rng.random(3)
    got = renorm_rewards(process, outcomes, OFFSETS, last="hybrid")
    expected = (process - 0.5) + (np.repeat(outcomes, [3, 0, 2]) - 0.5)
    np.testing.assert_allclose(got, expected)


def test_nothing():
    assert renorm_rewards(np.empty(0), np.empty(0), np.zeros(1, np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("process", "outcomes", "message"),
    [
        (np.zeros(4), np.zeros(3), "do not fit"),
        (np.zeros(5), np.zeros(2), "do not fit"),
        (np.full(5, 1.1), np.zeros(3), "process scores must lie"),
        (np.zeros(5), np.full(3, -1.0), "outcomes must lie"),
        (np.full(5, np.nan), np.zeros(3), "process scores must lie"),
    ],
)
def test_misuse_is_refused(process, outcomes, message):
    with pytest.raises(ValueError, match=message):
        renorm_rewards(process, outcomes, OFFSETS)


def test_a_batch(gather):
    batch = gather(([0, 0, 1.0], {}), ([0, 0], {}), ([], {}))
    scores = {"process_score": np.array([0.5, 1.0, 0.25, 0.5, 0.75])}
    after = Renorm()(batch, scores)
    assert after.rewards.tolist() == [0.5, 1.0, 1.0, -0.5, 0.0]
    assert after.returns.tolist() == [2.5, -0.5, 0.0]
    hybrid = Renorm(last="hybrid")(batch, scores)
    assert hybrid.rewards.tolist() == [0.5, 1.0, 0.25, -0.5, -0.25]


def test_scores_that_are_none_name_the_turn(gather):
    batch = gather(([1.0], {}), ([0, 0], {}))
    with pytest.raises(DataError, match=r"process score 1.5 at turn 1 of trajectory 'e1'"):
        Renorm()(batch, {"process_score": np.array([0.5, 0.5, 1.5])})
    with pytest.raises(ConfigError, match=r"one value per turn, shape \(3,\), not \(2,\)"):
        Renorm()(batch, {"process_score": np.zeros(2)})
