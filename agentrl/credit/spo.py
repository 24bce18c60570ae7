"""SPO: the return minus what its task has paid so far, standardised over the whole batch.

    c_i = R_i - v(task of i)                            v from before this batch is counted
    A_i = (c_i - mean(c)) / (std(c) + eps)              over all trajectories of the batch

Source: Xu & Ding, Single-stream Policy Optimization, arXiv 2509.13232, section 3. No groups: one
episode per task is enough, as long as tasks come back. Calls are pure; after each policy step the
trainer calls `learn`, which counts the outcomes, and the tracker is saved in checkpoints (see
`agentrl.credit.state`). Several episodes of a task in one batch share one baseline and are counted
together, with one step of forgetting.

Forgetting is constant by default (rho = 0.875, a mode of the authors' code). The published one
follows how far the policy has drifted on the task's last episode, D = mean |log p_then - log
p_now| over its sampled tokens: rho = clip(2^(-D / drift_half), rho_min, rho_max). Whoever can
measure D gives it to `learn`. UNVERIFIED: the paper's own values of drift_half, rho_min and
rho_max; those here are the code's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_ddof, check_positive, check_unit
from agentrl.credit.statistics import group_statistics
from agentrl.credit.tracker import ValueTracker
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class Spo:
    """Single-stream policy optimisation."""

    rho: float = 0.875
    """How much of the past stays at each update of a task whose drift is not known."""
    drift_half: float = 0.06
    """The drift at which half of the past stays."""
    rho_min: float = 0.875
    rho_max: float = 0.96
    ddof: int = 1
    """1: sample deviation (the published code); 0: population deviation."""
    eps: float = 1e-8
    """Added to the deviation."""
    tracker: ValueTracker = field(default_factory=ValueTracker, init=False, compare=False)
    """The state: values by task."""

    name: ClassVar[str] = "spo"
    stage: ClassVar[Stage] = "outcome"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        for parameter in ("rho", "rho_min", "rho_max"):
            check_unit(self.name, parameter, getattr(self, parameter))
        if self.rho_min > self.rho_max:
            raise ConfigError(
                f"credit method {self.name!r}: rho_min {self.rho_min!r} is above rho_max "
                f"{self.rho_max!r}"
            )
        check_positive(self.name, "drift_half", self.drift_half)
        check_ddof(self.name, self.ddof)
        check_positive(self.name, "eps", self.eps)

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn, equal within a trajectory."""
        gains = batch.returns - self._baselines(batch)
        mean, std, _ = group_statistics(gains, np.zeros(len(gains), np.int64), ddof=self.ddof)
        outcome = (gains - mean) / (std + self.eps)
        return outcome[batch.trajectory_of_turn()]

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return the return of each turn's trajectory and the baseline it was compared with."""
        baselines = self._baselines(batch)
        rows = [
            {"return": float(earned), "baseline": float(v), "weight": self.tracker.weight(task)}
            for earned, v, task in zip(batch.returns, baselines, batch.task_ids, strict=True)
        ]
        return [dict(rows[i]) for i in batch.trajectory_of_turn()]

    def forgetting(self, drift: float) -> float:
        """Return rho for a drift; a task seen for the first time has drift 0."""
        # Beyond 1000 half-lives the power would underflow; the clip decides anyway.
        kept = 2.0 ** -min(drift / self.drift_half, 1000.0)
        return float(min(max(kept, self.rho_min), self.rho_max))

    def learn(self, batch: Batch, drift: Mapping[str, float] | None = None) -> None:
        """Count a batch's outcomes, after the policy step on it.

        Args:
            batch: The batch that the policy was trained on.
            drift: D by task, where it was measured; a task that is not in it has drift 0.
        """
        outcomes: dict[str, list[float]] = defaultdict(list)
        for task, earned in zip(batch.task_ids, batch.returns, strict=True):
            outcomes[task].append(float(earned))
        for task, own in outcomes.items():
            rho = self.rho if drift is None else self.forgetting(drift.get(task, 0.0))
            self.tracker.update(task, own, rho)

    def state_dict(self) -> dict[str, Any]:
        """Return the tracker's state in plain JSON values."""
        return self.tracker.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one.
        """
        self.tracker.load_state_dict(state)

    def _baselines(self, batch: Batch) -> Floats:
        tasks = batch.task_ids
        return np.fromiter((self.tracker.value(task) for task in tasks), np.float64, len(tasks))
