from __future__ import annotations

import numpy as np
import pytest

from agentrl.rewards.invalid import InvalidAction, invalid_action_penalty


def test_each_invalid_turn_pays():
    rewards = np.array([0.0, 1.0, 0.5, 0.0])
    valid = np.array([True, False, True, False])
    np.testing.assert_allclose(
        invalid_action_penalty(rewards, valid, 0.1), [0.0, 0.9, 0.5, -0.1], atol=1e-12
    )
    assert rewards.tolist() == [0.0, 1.0, 0.5, 0.0]


def test_zero_changes_nothing_and_empty_is_fine():
    rewards = np.array([0.3, 0.4])
    assert invalid_action_penalty(rewards, np.array([False, True]), 0.0).tolist() == [0.3, 0.4]
    assert invalid_action_penalty(np.empty(0), np.empty(0, np.bool_), 1.0).shape == (0,)


@pytest.mark.parametrize(
    ("valid", "amount"), [(np.ones(3, np.bool_), 0.1), (np.ones(2, np.bool_), -0.1)]
)
def test_misuse_is_refused(valid, amount):
    with pytest.raises(ValueError, match=r"differ in shape|not be negative"):
        invalid_action_penalty(np.zeros(2), valid, amount)


def test_a_batch(gather):
    batch = gather(([0.0, 1.0], {"invalid": [0]}), ([0.5], {}))
    after = InvalidAction(penalty=0.25)(batch, {})
    assert after.rewards.tolist() == [-0.25, 1.0, 0.5]
    assert after.returns.tolist() == [0.75, 0.5]
