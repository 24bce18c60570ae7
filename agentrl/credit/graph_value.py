"""Graph values: what a turn gained, judged by the graph that a group's trajectories form together.

Mode `graft`, the group as an empirical Markov chain with values V:

    V(u)  = mean over the turns taken in u of gamma * V(where it led);  V(sink) = its reward
    D_t   = gamma * V(s_{t+1}) - V(s_t)
    E(u)  = mean over the edges e from u of [D(e) + gamma * lambda * E(where e leads)]
    S_t   = D_t + gamma * lambda * E(s_{t+1})                            GAE on the graph
    A_t   = (S_t - mean(S)) / (std(S) + eps)     over the edges that leave s_t

Mode `graphgpo`, with d(s) the fewest turns from s to a success in the graph:

    S_t   = success_reward * decay ** d(s_{t+1})
    A_t   = host_t + omega * (S_t - mean(S)) / (std(S) + eps)     over the turns taken in s_t

Sources: GRAFT, Yao et al., arXiv 2609.28963, and GraphGPO, Cheng et al., arXiv 2605.26684,
equation 4; both read in summaries and re-implementations only. UNVERIFIED and therefore options:
what counts once in mean and deviation (`per_traversal`), the weights of host and graph, GraphGPO's
constants. Also a reading of ours: E averages over distinct edges, for over traversals it would
vanish by the definition of V. A node that one edge leaves has mean 0 and deviation |S| in `graft`
(its value is the sign of S) and value 0 in `graphgpo`; there, a situation from which no success is
reached is one turn farther than the farthest one, and a group without success gives 0.

Nodes are situations by `state_key`, see `agentrl.credit.group_graph`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_positive, check_unit
from agentrl.credit.group_graph import GroupGraph, solve
from agentrl.credit.statistics import group_statistics
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals

Mode = Literal["graft", "graphgpo"]


@dataclass(frozen=True, slots=True)
class GraphValue:
    """Step-level advantages from values or distances on the group's graph."""

    mode: Mode = "graft"
    """Differences of values, or distances to success."""
    gamma: float = 0.99
    """`graft`: discount per turn, below 1."""
    gae_lambda: float = 0.95
    """`graft`: 0.95 was published for ALFWorld, 0.8 for WebShop, 0.6 for search."""
    decay: float = 0.1
    """`graphgpo`: what each turn of distance multiplies the reward by; UNVERIFIED."""
    success_reward: float = 10.0
    """`graphgpo`: reward of an edge into a success; UNVERIFIED."""
    omega: float = 1.0
    """Weight of the graph's part."""
    host_weight: float | None = None
    """Weight of the host's value; None: 0 in `graft`, 1 in `graphgpo`."""
    per_traversal: bool | None = None
    """Whether an edge counts once per traversal in its node's statistics; None: not in `graft`."""
    eps: float = 1e-6
    """Added to the deviation."""

    name: ClassVar[str] = "graph_value"
    stage: ClassVar[Stage] = "refine"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()
    reads: ClassVar[frozenset[str]] = frozenset({"state_key"})

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        if self.mode not in ("graft", "graphgpo"):
            raise ConfigError(f"credit method 'graph_value': no mode {self.mode!r}")
        if not 0 <= self.gamma < 1:
            raise ConfigError(
                "credit method 'graph_value': gamma must be at least 0 and below 1, for the graph "
                f"may have loops without a way out, not {self.gamma!r}"
            )
        check_unit(self.name, "gae_lambda", self.gae_lambda)
        check_unit(self.name, "decay", self.decay)
        check_positive(self.name, "decay", self.decay)
        check_positive(self.name, "success_reward", self.success_reward)
        check_positive(self.name, "omega", self.omega, or_zero=True)
        check_positive(self.name, "host_weight", self.host_weight or 0.0, or_zero=True)
        check_positive(self.name, "eps", self.eps)

    @property
    def weight_of_host(self) -> float:
        """The weight of the values that it is given."""
        if self.host_weight is None:
            return 0.0 if self.mode == "graft" else 1.0
        return self.host_weight

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn."""
        assert advantages is not None
        graph = GroupGraph.from_batch(batch, self.name)
        gain = self._gain(graph)[0]
        return self.weight_of_host * advantages + self.omega * self._standardised(graph, gain)

    def metrics(self, batch: Batch, signals: Signals) -> dict[str, float]:
        """Return how many distinct edges leave a turn's situation on average.

        Near 1 no two actions were ever tried in one situation.
        """
        graph = GroupGraph.from_batch(batch, self.name)
        ways = np.bincount(graph.source, weights=1 / np.bincount(graph.edge)[graph.edge])
        return {"ways": float(ways[graph.source].mean()) if len(graph.source) else 0.0}

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return for each turn its edge, the worth of both its ends and its step's part.

        The worth of a node (`from_worth`, `to_worth`) is its value in `graft` and its distance to
        success in `graphgpo`, None where no success can be reached.
        """
        assert advantages is not None
        graph = GroupGraph.from_batch(batch, self.name)
        gain, worth = self._gain(graph)
        step, values = self._standardised(graph, gain), self(batch, advantages, signals)
        traversals = np.bincount(graph.edge)[graph.edge]
        ways = np.bincount(graph.source, weights=1 / traversals)
        return [
            {
                "from": int(graph.source[turn]),
                "to": int(graph.target[turn]),
                "state_key": batch.state_keys[turn],
                "from_worth": _plain(worth[graph.source[turn]]),
                "to_worth": _plain(worth[graph.target[turn]]),
                "gain": float(gain[turn]),
                "edges_from_here": round(ways[graph.source[turn]]),
                "traversals": int(traversals[turn]),
                "advantage_before": float(advantages[turn]),
                "step_advantage": float(step[turn]),
                "advantage": float(values[turn]),
            }
            for turn in range(batch.num_turns)
        ]

    def _gain(self, graph: GroupGraph) -> tuple[Floats, Floats]:
        """Return S, shape [turns], and the worth of nodes that it comes from, shape [nodes]."""
        if self.mode == "graphgpo":
            return self._closeness(graph)
        nodes = len(graph.sink)
        visits = np.bincount(graph.source, minlength=nodes)
        value = solve(
            graph,
            1.0 / visits[graph.source],
            graph.reward * graph.sink,
            self.gamma,
        )
        difference = self.gamma * value[graph.target] - value[graph.source]
        traversals = np.bincount(graph.edge)[graph.edge]
        ways = np.bincount(graph.source, weights=1.0 / traversals, minlength=nodes)
        share = 1.0 / (traversals * ways[graph.source])
        mean = np.bincount(graph.source, weights=share * difference, minlength=nodes)
        ahead = solve(graph, share, mean.astype(np.float64), self.gamma * self.gae_lambda)
        return difference + self.gamma * self.gae_lambda * ahead[graph.target], value

    def _closeness(self, graph: GroupGraph) -> tuple[Floats, Floats]:
        distance = graph.distances()
        reached = np.isfinite(distance)
        farthest = np.full(int(graph.group.max(initial=-1)) + 1, -np.inf)
        np.maximum.at(farthest, graph.group[reached], distance[reached])
        known = np.where(reached, distance, farthest[graph.group] + 1)
        # Where nothing succeeded all edges are worth the same, whatever that is.
        known = np.where(np.isfinite(known), known, 0.0)
        return self.success_reward * self.decay ** known[graph.target], distance

    def _standardised(self, graph: GroupGraph, gain: Floats) -> Floats:
        """Return S in units of its spread among the edges that leave its node; shape [turns]."""
        _, first, edge = np.unique(graph.edge, return_index=True, return_inverse=True)
        ways = np.bincount(graph.source[first], minlength=len(graph.sink))[graph.source]
        per_traversal = self.per_traversal
        if per_traversal is None:
            per_traversal = self.mode == "graphgpo"
        counted = slice(None) if per_traversal else first
        mean, std, _ = group_statistics(gain[counted], graph.source[counted])
        if not per_traversal:
            mean, std = mean[edge], std[edge]
        alone = gain / (np.abs(gain) + self.eps) if self.mode == "graft" else np.zeros(len(gain))
        return np.where(ways > 1, (gain - mean) / (std + self.eps), alone)


def _plain(worth: Any) -> float | None:
    return float(worth) if np.isfinite(worth) else None
