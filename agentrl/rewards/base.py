"""The contract of reward transforms: what an episode earned, told differently to credit.

A transform is a frozen dataclass whose fields are its parameters. Its call takes a batch and gives
one with other rewards; nothing is changed in place, and stored trajectories keep what the
environment paid. The stages of a list such as `[otc, overlong]` run in order: first what corrects
or scales the outcome, then what spreads it over turns, last what is added as a price.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.signals import final_turns
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Signals

Stage = Literal["outcome", "turns", "price"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages in the order in which they may stand in a list."""


@runtime_checkable
class RewardTransform(Protocol):
    """One change of rewards; with `agentrl.credit.state.Remembers`, one that learns."""

    @property
    def name(self) -> str:
        """The word used in configurations."""

    @property
    def stage(self) -> Stage:
        """Where in the list it may stand."""

    @property
    def needs(self) -> frozenset[str]:
        """Signals it reads, by the names in `agentrl.credit.base.SIGNALS`."""

    def __call__(self, batch: Batch, signals: Signals) -> Batch:
        """Return the batch with other `rewards` and `returns`."""
        ...


def added(batch: Batch, amounts: Floats) -> Batch:
    """Return the batch with something added to the reward of each turn.

    Args:
        batch: The batch.
        amounts: Shape [turns].
    """
    earned = np.bincount(
        batch.trajectory_of_turn(), weights=amounts, minlength=batch.num_trajectories
    )
    return dataclasses.replace(
        batch, rewards=batch.rewards + amounts, returns=batch.returns + earned
    )


def added_at_end(batch: Batch, amounts: Floats) -> Batch:
    """Return the batch with something added to what each trajectory earned, at its last turn.

    Args:
        batch: The batch.
        amounts: Shape [trajectories].
    """
    rewards = batch.rewards.copy()
    rewards[final_turns(batch)] += amounts[np.diff(batch.turn_offsets) > 0]
    return dataclasses.replace(batch, rewards=rewards, returns=batch.returns + amounts)


def refuse_outcomes(name: str, batch: Batch, *, lowest: float, highest: float) -> None:
    """Refuse what an episode earned where a transform cannot mean anything by it.

    Raises:
        DataError: Names the trajectory, its group and what it earned.
    """
    fits = (batch.returns >= lowest) & (batch.returns <= highest)
    if fits.all():
        return
    first = int(np.argmin(fits))
    group = batch.groups[int(batch.group_of_trajectory()[first])]
    bounds = f"between {lowest:g} and {highest:g}" if highest < np.inf else f"at least {lowest:g}"
    raise DataError(
        f"reward transform {name!r} needs outcomes that are {bounds}; trajectory "
        f"{batch.ids[first]!r} of group {group!r} earned {batch.returns[first]:g}: leave {name} "
        "out, or let the environment pay such rewards"
    )


@contextlib.contextmanager
def parameters_of(name: str) -> Iterator[None]:
    """Turn the refusals of a formula, tried on nothing, into those of a configuration."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"reward transform {name!r}: {error}") from None
