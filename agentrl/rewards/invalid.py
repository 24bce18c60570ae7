"""The price of an invalid action: what is subtracted from the reward of a turn that was not valid.

Rollouts keep rewards as the environment paid them; this is applied to a batch before credit:

    r'_t = r_t - amount * [turn t is invalid]
"""

from __future__ import annotations

from agentrl.batch import Bools, Floats


def invalid_action_penalty(rewards: Floats, valid: Bools, amount: float) -> Floats:
    """Return the rewards less `amount` for each invalid turn.

    Args:
        rewards: As the environment paid them, shape [turns].
        valid: Whether each turn was valid, shape [turns].
        amount: What an invalid turn costs; not negative.

    Raises:
        ValueError: The shapes differ, or the amount is negative.
    """
    if rewards.shape != valid.shape:
        raise ValueError(f"rewards {rewards.shape} and valid {valid.shape} differ in shape")
    if amount < 0:
        raise ValueError(f"the penalty is subtracted, so it must not be negative; got {amount}")
    return rewards - amount * ~valid
