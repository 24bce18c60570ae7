"""SALT: steps that several episodes of a group share get the mean of their advantages.

    s_t  = the last `history` pairs (action, observation it returned) up to turn t;  s_0 = root
    k_t  = (s_{t-1}, a_t, s_t)                             the edge that turn t traverses
    A'_t = mean of A over all occurrences of k_t in the group

Source: Li et al., SALT, arXiv 2510.20022, section 3 (the trajectory graph). A step that good and
bad episodes alike took cannot be what told them apart. No code was published: `history` 3 and the
mean per occurrence come from an independent implementation, so does the absence of any
re-normalisation afterwards (UNVERIFIED). The root is the first observation. Turns of different
agents never merge.

Two kinds of turn keep their value and merge with nothing: one at which the episode was cut off
before the action returned an observation, and one whose completion could not be parsed, for the
empty actions of two such turns say nothing about what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from agentrl.batch import Batch, Bools, Floats, Ints
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.coincidence import group_of_turn, intern, label_means, members, row_labels
from agentrl.credit.matchers import Matcher, read_matcher
from agentrl.credit.statistics import constant_groups
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class Salt:
    """Step-level advantages from the graph of a group's trajectories."""

    history: int = 3
    """How many (action, observation) pairs name a state: the window h. The values used per
    benchmark are UNVERIFIED."""
    unique_per_trajectory: bool = False
    """Whether a trajectory counts once in an edge's mean, however often it traversed the edge."""
    matcher: Any = "exact"
    """When texts count as equal: `exact`, `normalised`, `{similarity: {threshold: 0.95}}`,
    `{embedding: {model: NAME, threshold: 0.9}}`, or a matcher; see `agentrl.credit.matchers`."""

    name: ClassVar[str] = "salt"
    stage: ClassVar[Stage] = "refine"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        if self.history < 1:
            raise ConfigError(f"credit method 'salt': history must be 1 or more: {self.history!r}")
        read_matcher(self.matcher)

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn."""
        assert advantages is not None
        edges = self.edges(batch)
        if not self.unique_per_trajectory:
            return label_means(advantages, edges)
        visits = row_labels(edges, batch.trajectory_of_turn())
        per_visit = label_means(advantages, visits)
        _, first, inverse = np.unique(visits, return_index=True, return_inverse=True)
        return label_means(per_visit[first], edges[first])[inverse]

    def edges(self, batch: Batch) -> Ints:
        """Return the edge that each turn traverses, numbered from 0; shape [turns]."""
        matcher: Matcher = read_matcher(self.matcher)
        group, trajectory = group_of_turn(batch), batch.trajectory_of_turn()
        position = np.arange(batch.num_turns) - batch.turn_offsets[trajectory]
        step = row_labels(matcher(batch.actions, group), matcher(batch.next_observations, group))
        alone = ~mergeable(batch)
        step[alone] = batch.num_turns + np.flatnonzero(alone)
        root = 2 * batch.num_turns + _roots(batch, matcher)[trajectory]
        before = [
            _steps_ago(ago, step, root, position)
            for ago in range(1, min(self.history, int(position.max(initial=0)) + 1) + 1)
        ]
        return row_labels(group, intern(batch.agents), step, *before)

    def metrics(self, batch: Batch, signals: Signals) -> dict[str, float]:
        """Return the merge rate: near 0 the host works alone."""
        return {"merge_rate": merge_rate(batch, self)}

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return for each turn its edge, how often it occurred, and what the mean is of.

        `edge` numbers the edges of the batch; turns with equal numbers were merged.
        `trajectories` are those that traversed it and `merge_rate` is that of the turn's group.
        """
        assert advantages is not None
        edges = self.edges(batch)
        merged = self(batch, advantages, signals)
        of_turn = batch.trajectory_of_turn()
        who = [list(dict.fromkeys(batch.ids[i] for i in of_turn[of])) for of in members(edges)]
        counts, may, rates = np.bincount(edges)[edges], mergeable(batch), _rates(batch, edges)
        return [
            {
                "edge": int(edges[turn]),
                "action": batch.actions[turn],
                "observation": batch.next_observations[turn],
                "occurrences": int(counts[turn]),
                "trajectories": who[edges[turn]],
                "merged": bool(counts[turn] > 1),
                "mergeable": bool(may[turn]),
                "advantage_before": float(advantages[turn]),
                "advantage": float(merged[turn]),
                "merge_rate": float(rates[turn]),
            }
            for turn in range(batch.num_turns)
        ]


def merge_rate(batch: Batch, salt: Salt | Mapping[str, Any] | None = None) -> float:
    """Return the share of turns that SALT merges, in groups whose returns differ.

    Near 0 the matcher never fires and training is that of the host alone; 0 where no group's
    returns differ.

    Args:
        batch: Whole groups of trajectories.
        salt: The method, or its parameters; None for the defaults.
    """
    method = salt if isinstance(salt, Salt) else Salt(**(salt or {}))
    edges = method.edges(batch)
    mixed = ~constant_groups(batch.returns, batch.group_of_trajectory())
    turns = mixed[group_of_turn(batch)]
    shared = np.bincount(edges)[edges] > 1
    return float(shared[turns].mean()) if turns.any() else 0.0


def mergeable(batch: Batch) -> Bools:
    """Return whether each turn may merge with others, shape [turns]."""
    seen = np.fromiter(map(bool, batch.next_observations), np.bool_, batch.num_turns)
    unparsed = ~batch.valid & ~np.fromiter(map(bool, batch.actions), np.bool_, batch.num_turns)
    cut = np.zeros(batch.num_turns, np.bool_)
    played = np.diff(batch.turn_offsets) > 0
    cut[batch.turn_offsets[1:][played] - 1] = batch.truncated[played]
    may: Bools = ~(cut & ~seen) & ~unparsed
    return may


def _roots(batch: Batch, matcher: Matcher) -> Ints:
    """Number the first observations; shape [trajectories]."""
    played = np.flatnonzero(np.diff(batch.turn_offsets))
    first = [batch.observations[turn] for turn in batch.turn_offsets[played]]
    roots = np.zeros(batch.num_trajectories, np.int64)
    roots[played] = matcher(first, batch.group_of_trajectory()[played])
    return roots


def _steps_ago(ago: int, step: Ints, root: Ints, position: Ints) -> Ints:
    """Return what stood `ago` places back: 0 for nothing, a root, or a step; shape [turns]."""
    earlier = np.zeros_like(step)
    earlier[ago:] = step[: len(step) - ago]
    earlier = np.where(position == ago - 1, root, earlier) + 1
    return np.where(position < ago - 1, 0, earlier)


def _rates(batch: Batch, edges: Ints) -> Floats:
    """Return the merge rate of each turn's group; shape [turns]."""
    shared = (np.bincount(edges)[edges] > 1).astype(np.float64)
    return label_means(shared, group_of_turn(batch))
