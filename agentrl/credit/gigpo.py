"""GiGPO: actions taken in the same situation compete with each other.

    G_t = r_t + gamma * G_{t+1}                             within a trajectory
    S_t = (G_t - mean(G)) / (std(G) + eps)                  over all visits of t's situation
    A_t = host_t + omega * S_t

Source: Feng et al., GiGPO, arXiv 2505.10978, equations 6 to 8; the formulas were verified against
public code of the verl-agent family. A situation is a `state_key` within one group (and agent);
every visit counts, repeated ones too, and one visited once gives S = 0. The host's value is the
paper's episode advantage: `grpo` for `mean_std_norm`, `dr_grpo` for `mean_norm`, which does not
divide by the deviation.

A penalty for invalid actions belongs into the turns' rewards, where it lowers both the episode's
return and the returns from each step on. What a trajectory earned beyond its turns' rewards is
paid on its last turn.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from agentrl.batch import Batch, Ints
from agentrl.credit.base import Advantages, CreditMethod, Level, Stage, Why
from agentrl.credit.checks import check_positive, check_unit
from agentrl.credit.coincidence import group_of_turn, intern, label_means, row_labels, situations
from agentrl.credit.matchers import ExactMatcher, Matcher, SimilarityMatcher
from agentrl.credit.returns import discounted_returns, paid_rewards
from agentrl.credit.statistics import centred, group_statistics
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals

Normaliser = Literal["host", "mean_std_norm", "mean_norm"]
Anchor = Literal["state_key", "observation"]


@dataclass(frozen=True, slots=True)
class Gigpo:
    """Group-in-group policy optimisation."""

    gamma: float = 0.95
    """Discount per turn."""
    omega: float = 1.0
    """Weight of the step advantage."""
    normaliser: Normaliser = "host"
    """Whether to divide by the sample deviation; `host`: as the estimator that stands before does,
    not after `dr_grpo` and `rloo`."""
    anchor: Anchor = "state_key"
    """What names a situation; `observation` where an environment gives no `state_key`."""
    similarity: float | None = None
    """The least difflib ratio at which two anchors are one situation (0.9 was published for
    search); None: they must be equal. For texts: a `state_key` may be a digest."""
    eps: float = 1e-6
    """Added to the deviation."""

    name: ClassVar[str] = "gigpo"
    stage: ClassVar[Stage] = "refine"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_unit(self.name, "gamma", self.gamma)
        check_positive(self.name, "omega", self.omega, or_zero=True)
        check_positive(self.name, "eps", self.eps)
        if self.normaliser not in get_args(Normaliser):
            raise ConfigError(f"credit method 'gigpo': no normaliser {self.normaliser!r}")
        if self.anchor not in ("state_key", "observation"):
            raise ConfigError(f"credit method 'gigpo': no anchor {self.anchor!r}")
        if self.similarity is not None:
            check_unit(self.name, "similarity", self.similarity)

    @property
    def reads(self) -> frozenset[str]:
        """What the environment's info must hold."""
        return frozenset({"state_key"} if self.anchor == "state_key" else ())

    def for_host(self, host: CreditMethod) -> Gigpo:
        """Return the method with the normaliser of the estimator before it."""
        if self.normaliser != "host":
            return self
        centred_only = host.name in ("dr_grpo", "rloo")
        return dataclasses.replace(
            self, normaliser="mean_norm" if centred_only else "mean_std_norm"
        )

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn."""
        assert advantages is not None
        returns = discounted_returns(paid_rewards(batch), batch.turn_offsets, self.gamma)
        visited = self.step_groups(batch)
        _, std, size = group_statistics(returns, visited)
        step = np.where(size > 1, centred(returns, visited), 0.0)
        if self.normaliser != "mean_norm":
            step = step / (std + self.eps)
        return advantages + self.omega * step

    def step_groups(self, batch: Batch) -> Ints:
        """Return the situation that each turn acted in, numbered from 0; shape [turns].

        Raises:
            DataError: A turn has no `state_key`.
        """
        group, agent = group_of_turn(batch), intern(batch.agents)
        by_key = self.anchor == "state_key"
        anchors = situations(batch, self.name) if by_key else batch.observations
        exact = self.similarity is None
        matcher: Matcher = ExactMatcher() if exact else SimilarityMatcher(self.similarity or 0.0)
        return row_labels(group, agent, matcher(anchors, group))

    def metrics(self, batch: Batch, signals: Signals) -> dict[str, float]:
        """Return the mean size of step groups, and the share of turns in one of two or more.

        Near 1 and 0 situations do not come again, and the host works alone.
        """
        visits = np.bincount(self.step_groups(batch))
        return {
            "step_group_size": float(visits.mean()) if visits.size else 0.0,
            "shared_turns": float(visits[visits > 1].sum() / visits.sum()) if visits.size else 0.0,
        }

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return for each turn its situation, how often it was visited, and its returns."""
        assert advantages is not None
        returns = discounted_returns(paid_rewards(batch), batch.turn_offsets, self.gamma)
        visited = self.step_groups(batch)
        _, std, size = group_statistics(returns, visited)
        mean, values = label_means(returns, visited), self(batch, advantages, signals)
        return [
            {
                "situation": int(visited[turn]),
                "state_key": batch.state_keys[turn],
                "visits": int(size[turn]),
                "return_from_here": float(returns[turn]),
                "mean": float(mean[turn]),
                "std": float(std[turn]) if size[turn] > 1 else 0.0,
                "advantage_before": float(advantages[turn]),
                "step_advantage": float(values[turn] - advantages[turn]),
                "advantage": float(values[turn]),
            }
            for turn in range(batch.num_turns)
        ]
