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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from agentrl.batch import Bools, Floats, Ints
from agentrl.errors import CheckpointError


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
