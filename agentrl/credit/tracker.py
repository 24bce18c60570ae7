"""What each task has paid so far: a value and how many episodes it rests on, by task.

With a success count a and a failure count b, as in a Beta distribution, value = a / (a + b) and
weight = a + b. Forgetting multiplies both counts by rho before new outcomes r are added:

    a <- rho * a + sum(r),  b <- rho * b + sum(1 - r)
    weight' = rho * weight + n,  value' = (rho * weight * value + sum(r)) / weight'

The second line is kept here: it equals the first for r in [0, 1] and holds for any other r. For
one episode it is the moving average value += (r - value) / (rho * weight + 1). Source: Xu & Ding,
Single-stream Policy Optimization, arXiv 2509.13232, section 3 (KL-adaptive value tracker).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentrl.errors import CheckpointError


@dataclass(slots=True)
class ValueTracker:
    """A persistent estimate of what each task pays."""

    values: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    initial_value: float = 0.5
    """Of a task never seen: counts a = b = 0.5."""
    initial_weight: float = 1.0

    def value(self, task: str) -> float:
        """Return the value of a task."""
        return self.values.get(task, self.initial_value)

    def weight(self, task: str) -> float:
        """Return how many episodes, after forgetting, the value rests on."""
        return self.weights.get(task, self.initial_weight)

    def warm_start(self, task: str, successes: float, samples: int, *, rho_min: float) -> None:
        """Begin a task from episodes played before training.

        The value is (successes + 1/2) / (samples + 1), and its weight 1 / (1 - rho_min): what it
        converges to under the strongest forgetting.
        """
        self.values[task] = (successes + 0.5) / (samples + 1)
        self.weights[task] = 1.0 / (1.0 - rho_min)

    def update(self, task: str, outcomes: Sequence[float], rho: float) -> None:
        """Count the outcomes of a task's episodes, after forgetting once."""
        kept = rho * self.weight(task)
        total = kept + len(outcomes)
        # fsum does not depend on the order, so that shuffled batches leave the same state.
        self.values[task] = (kept * self.value(task) + math.fsum(outcomes)) / total
        self.weights[task] = total

    def sampling_weight(self, task: str, floor: float = 0.05) -> float:
        """Return how much a task deserves to be played: sqrt(v * (1 - v)) + floor."""
        value = min(max(self.value(task), 0.0), 1.0)
        return math.sqrt(value * (1.0 - value)) + floor

    def state_dict(self) -> dict[str, Any]:
        """Return the state in plain JSON values: `{task: [value, weight]}`."""
        return {task: [value, self.weights[task]] for task, value in self.values.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one.
        """
        try:
            rows = {str(task): (float(v), float(w)) for task, (v, w) in state.items()}
        except (AttributeError, TypeError, ValueError):
            raise CheckpointError(
                "the saved value tracker is not {task: [value, weight]}; start a new run"
            ) from None
        self.values = {task: value for task, (value, _) in rows.items()}
        self.weights = {task: weight for task, (_, weight) in rows.items()}
