"""Tool efficiency: an answer is worth more the closer its tool calls are to the fewest needed.

    r = alpha * r_tool * r_outcome          so that a wrong answer gains nothing by few calls

    form "ppo":   r_tool = cos(m * pi / (2m + c))
    form "grpo":  r_tool = sin(f * pi / (2n)),  f = 2nm / (m + n);   1 at m = n, less on both sides
                  where n = 0: cos(m * pi / (2m + c))

m: calls of this episode; n: the fewest calls of a correct episode of the same task so far; c: the
most calls allowed. Source: Wang et al., OTC, arXiv 2504.14870. UNVERIFIED: alpha and c per data
set; alpha is 1 here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from agentrl.batch import Batch, Bools, Floats, Ints
from agentrl.credit.signals import final_turns
from agentrl.errors import CheckpointError, ConfigError
from agentrl.rewards.base import Stage, parameters_of, refuse_outcomes
from agentrl.trajectory import Signals


@dataclass(slots=True)
class FewestCalls:
    """The fewest calls of a correct episode, by task: a minimum over the whole run."""

    calls: dict[str, int] = field(default_factory=dict)

    def learn(self, tasks: Sequence[str], calls: Ints, correct: Bools) -> None:
        """Take in episodes; the arguments have one entry per episode."""
        for task, count, is_correct in zip(tasks, calls, correct, strict=True):
            if is_correct:
                self.calls[task] = min(int(count), self.calls.get(task, int(count)))

    def of(self, tasks: Sequence[str]) -> Floats:
        """Return n of each task, NaN for one that was never solved."""
        return np.array([self.calls.get(task, np.nan) for task in tasks], np.float64)

    def state_dict(self) -> dict[str, Any]:
        """Return the state in plain JSON values."""
        return dict(self.calls)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one.
        """
        try:
            self.calls = {str(task): int(count) for task, count in state.items()}
        except (AttributeError, TypeError, ValueError):
            raise CheckpointError(
                "the saved fewest tool calls are not {task: count}; start a new run"
            ) from None


def tool_efficiency(
    calls: Ints,
    fewest: Floats | None,
    *,
    max_calls: int,
    form: Literal["grpo", "ppo"] = "grpo",
) -> Floats:
    """Return r_tool of each episode.

    Args:
        calls: m, shape [episodes].
        fewest: n, as of `FewestCalls.of`, shape [episodes]; NaN counts as 0. Form `ppo` needs
            none.
        max_calls: c, above 0.
        form: Which of the two formulas.

    Returns:
        Shape [episodes], between 0 and 1.

    Raises:
        ValueError: Shapes differ, or a number of calls makes no sense.
    """
    if max_calls <= 0:
        raise ValueError(f"max_calls must be above 0, not {max_calls}")
    if (calls < 0).any():
        raise ValueError(f"an episode cannot have {int(calls.min())} tool calls")
    falling: Floats = np.cos(calls * np.pi / (2 * calls + max_calls))
    if form == "ppo":
        return falling
    if fewest is None or fewest.shape != calls.shape:
        raise ValueError("form 'grpo' needs the fewest calls of each episode's task")
    known = np.nan_to_num(fewest)
    mean = 2 * known * calls / np.maximum(calls + known, 1)
    peaked = np.sin(mean * np.pi / (2 * np.maximum(known, 1)))
    return np.where(known == 0, falling, peaked)


def efficient_rewards(outcomes: Floats, efficiency: Floats, *, alpha: float = 1.0) -> Floats:
    """Return alpha * r_tool * r_outcome.

    Args:
        outcomes: What each episode earned, shape [episodes]; not negative, for a product would
            make a failure cheaper by calling more tools.
        efficiency: As of `tool_efficiency`, shape [episodes].
        alpha: Scales the reward; above 0.

    Raises:
        ValueError: Shapes differ, an outcome is negative, or alpha is not above 0.
    """
    if outcomes.shape != efficiency.shape:
        raise ValueError(
            f"outcomes {outcomes.shape} and efficiency {efficiency.shape} differ in shape"
        )
    if (outcomes < 0).any():
        raise ValueError("outcomes must not be negative: apply penalties after tool efficiency")
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, not {alpha}")
    return alpha * efficiency * outcomes


@dataclass(frozen=True, slots=True)
class Otc:
    """Scales what an episode earned by its tool efficiency.

    All its turn rewards are scaled alike. n is the fewest calls of a successful episode of the
    task, in this batch or any before.
    """

    max_calls: int
    """The most calls that an episode may make: c."""
    form: Literal["grpo", "ppo"] = "grpo"
    """Which of the two formulas."""
    alpha: float = 1.0
    """Scales the reward."""
    tools: str | None = None
    """A regular expression such as `^search`: a tool call is a valid turn whose action it is found
    in. None: every valid turn, but not the one with which an episode ended by itself."""
    fewest: FewestCalls = field(default_factory=FewestCalls, init=False, compare=False)
    """The state: fewest calls by task."""

    name: ClassVar[str] = "otc"
    stage: ClassVar[Stage] = "outcome"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        none, no_count = np.empty(0), np.empty(0, np.int64)
        if self.form not in ("grpo", "ppo"):
            raise ConfigError(f"reward transform 'otc': no form {self.form!r}; use grpo or ppo")
        with parameters_of(self.name):
            tool_efficiency(no_count, none, max_calls=self.max_calls)
            efficient_rewards(none, none, alpha=self.alpha)
        try:
            re.compile(self.tools or "")
        except re.error as error:
            raise ConfigError(
                f"reward transform 'otc': tools is not a regular expression: {error}"
            ) from None

    def __call__(self, batch: Batch, signals: Signals) -> Batch:
        """Return the batch with scaled rewards.

        Raises:
            DataError: An episode earned less than 0; names it.
        """
        refuse_outcomes(self.name, batch, lowest=0.0, highest=np.inf)
        calls = self.calls(batch)
        before = self.fewest.calls
        known = FewestCalls({task: before[task] for task in batch.task_ids if task in before})
        known.learn(batch.task_ids, calls, batch.success)
        worth = self.alpha * tool_efficiency(
            calls, known.of(batch.task_ids), max_calls=self.max_calls, form=self.form
        )
        return dataclasses.replace(
            batch,
            rewards=batch.rewards * worth[batch.trajectory_of_turn()],
            returns=batch.returns * worth,
        )

    def calls(self, batch: Batch) -> Ints:
        """Return the tool calls of each trajectory, shape [trajectories]."""
        if self.tools is None:
            is_call = batch.valid.copy()
            played = np.diff(batch.turn_offsets) > 0
            is_call[final_turns(batch)[~batch.truncated[played]]] = False
        else:
            found = re.compile(self.tools).search
            is_call = batch.valid & np.array([bool(found(a)) for a in batch.actions], np.bool_)
        counts = np.bincount(batch.trajectory_of_turn()[is_call], minlength=batch.num_trajectories)
        return counts.astype(np.int64, copy=False)

    def learn(self, batch: Batch) -> None:
        """Take in a batch, after the policy step on it."""
        self.fewest.learn(batch.task_ids, self.calls(batch), batch.success)

    def state_dict(self) -> dict[str, Any]:
        """Return the fewest calls by task in plain JSON values."""
        return self.fewest.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one.
        """
        self.fewest.load_state_dict(state)
