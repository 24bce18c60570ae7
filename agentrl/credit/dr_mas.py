"""Dr. MAS: the return, standardised among the turns of one agent in the group.

    A_{i,t} = (R_i - mean_k) / (std_k + eps)      k: the agent that acted at turn t of episode i

Source: Feng et al., Dr. MAS, arXiv 2602.08847 (agent-wise advantage normalisation). Mean and
sample deviation run over the turns at which agent k acted in the group's episodes, so an episode
that calls it m times counts m times. A single turn has mean 0 and std 1. With one agent and
`weighting="trajectory"` this is GRPO.

Why: under one baseline for all, the second moment of agent k's gradient grows by the factor
(std_k^2 + (mean_k - mean)^2) / std^2; with its own statistics that factor is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agentrl.batch import Batch, Floats, Ints
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_ddof, check_positive
from agentrl.credit.signals import check_choice
from agentrl.credit.statistics import GroupStatistics, group_statistics
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class DrMas:
    """GRPO with statistics per agent."""

    weighting: Literal["turn", "trajectory"] = "turn"
    """Whether an episode counts once per turn of the agent (as published) or once."""
    ddof: int = 1
    """1: sample deviation (the published code); 0: population deviation."""
    eps: float = 1e-6
    """Added to the deviation."""

    name: ClassVar[str] = "dr_mas"
    stage: ClassVar[Stage] = "outcome"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_choice(self.name, "weighting", self.weighting, ("turn", "trajectory"))
        check_ddof(self.name, self.ddof)
        check_positive(self.name, "eps", self.eps)

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn, equal among the turns of one agent in a trajectory."""
        mean, std, _ = self._statistics(batch)
        return (self._returns(batch) - mean) / (std + self.eps)

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return the agent of each turn and the statistics it was compared with."""
        mean, std, size = self._statistics(batch)
        rows = zip(batch.agents, self._returns(batch), mean, std, size, strict=True)
        return [
            {"agent": a, "return": float(r), "mean": float(m), "std": float(s), "compared": int(n)}
            for a, r, m, s, n in rows
        ]

    def _returns(self, batch: Batch) -> Floats:
        return batch.returns[batch.trajectory_of_turn()]

    def _statistics(self, batch: Batch) -> GroupStatistics:
        """Return the statistics that each turn is compared with, shape [turns] each."""
        returns, labels = self._returns(batch), _agent_labels(batch)
        if self.weighting == "turn":
            return group_statistics(returns, labels, ddof=self.ddof)
        keys = labels * batch.num_trajectories + batch.trajectory_of_turn()
        _, first, of_turn = np.unique(keys, return_index=True, return_inverse=True)
        mean, std, size = group_statistics(returns[first], labels[first], ddof=self.ddof)
        return GroupStatistics(mean[of_turn], std[of_turn], size[of_turn])


def _agent_labels(batch: Batch) -> Ints:
    """Return a number for the group and agent of each turn, shape [turns]."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(batch.agents))}
    agents = np.fromiter((numbers[name] for name in batch.agents), np.int64, batch.num_turns)
    groups = batch.group_of_trajectory()[batch.trajectory_of_turn()]
    return groups * max(len(numbers), 1) + agents
