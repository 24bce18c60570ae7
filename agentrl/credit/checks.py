"""Checks that credit methods share: parameters, rewards and signals."""

from __future__ import annotations

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Signals


def check_ddof(method: str, ddof: int) -> None:
    """Refuse anything but 0 and 1."""
    if ddof not in (0, 1):
        raise ConfigError(f"credit method {method!r}: ddof must be 0 or 1, not {ddof!r}")


def check_positive(method: str, parameter: str, value: float, *, or_zero: bool = False) -> None:
    """Refuse a parameter that is not a finite number above 0 (or equal, with `or_zero`)."""
    if not np.isfinite(value) or value < 0 or (value == 0 and not or_zero):
        bound = "at least" if or_zero else "above"
        raise ConfigError(f"credit method {method!r}: {parameter} must be {bound} 0, not {value!r}")


def check_unit(method: str, parameter: str, value: float) -> None:
    """Refuse a parameter outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ConfigError(
            f"credit method {method!r}: {parameter} must be between 0 and 1, not {value!r}"
        )


def check_rewards(batch: Batch) -> None:
    """Refuse rewards that are not finite numbers.

    Raises:
        DataError: Names the trajectory, its group and the turn.
    """
    finite = np.isfinite(batch.rewards)
    if not finite.all():
        turn = int(np.argmin(finite))
        trajectory = int(batch.trajectory_of_turn()[turn])
        position = turn - int(batch.turn_offsets[trajectory])
        what = f"reward {batch.rewards[turn]} at turn {position}"
    elif not np.isfinite(batch.returns).all():
        trajectory = int(np.argmin(np.isfinite(batch.returns)))
        what = f"outcome {batch.returns[trajectory]}"
    else:
        return
    group = batch.groups[int(batch.group_of_trajectory()[trajectory])]
    raise DataError(
        f"trajectory {batch.ids[trajectory]!r} of group {group!r} has {what}; "
        "rewards must be finite: mend the reward function or drop the trajectory"
    )


def signal_per_token(method: str, name: str, batch: Batch, signals: Signals) -> Floats:
    """Return a signal that has one value per token.

    Raises:
        ConfigError: The signal has another shape.
    """
    values = signals[name]
    if values.shape != (batch.num_tokens,):
        raise ConfigError(
            f"credit method {method!r} needs the signal {name!r} with one value per token, "
            f"shape ({batch.num_tokens},), not {values.shape}"
        )
    return values.astype(np.float64, copy=False)
