"""The trajectories of a group as one graph: situations are nodes, turns are traversals of edges.

A node is a `state_key` within a group. An episode that the environment ended leads to a sink of
its own kind: episodes that ended in the same `final_state_key` share it, and what the agent did in
a situation of that name is another node. An episode that was cut off leads to the situation it
stopped in, which is a sink only if nobody acted there. Without a `final_state_key` the end is a
sink of that one trajectory. A sink is worth the mean return of the trajectories that ended in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentrl.batch import Batch, Bools, Floats, Ints
from agentrl.credit.coincidence import group_of_turn, intern, row_labels, situations

DENSE = 512
"""Groups with up to this many branching nodes are solved directly, larger ones by iteration."""
ACCURACY = 1e-13
"""Iteration ends when no value changes by more than this share of the largest."""
_SITUATION, _END, _OWN_END = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class GroupGraph:
    """The graphs of all groups of a batch, numbered through."""

    source: Ints
    """The node that each turn acted in. Shape [turns]."""
    target: Ints
    """The node that each turn led to. Shape [turns]."""
    edge: Ints
    """Number of each turn's (source, action, target). Shape [turns]."""
    group: Ints
    """The group of each node, in ascending order. Shape [nodes]."""
    sink: Bools
    """Whether nobody acted in the node. Shape [nodes]."""
    reward: Floats
    """Mean return of the trajectories that ended in the node; 0 where none did. Shape [nodes]."""
    success: Bools
    """Whether a solved episode ended in the node. Shape [nodes]."""

    @classmethod
    def from_batch(cls, batch: Batch, method: str) -> GroupGraph:
        """Build the graphs.

        Raises:
            DataError: A turn has no `state_key`; names the trajectory and `method`.
        """
        played = np.diff(batch.turn_offsets) > 0
        last = batch.turn_offsets[1:][played] - 1
        group = np.concatenate([group_of_turn(batch), batch.group_of_trajectory()[played]])
        kind, key = _ends(batch, situations(batch, method), played)
        node = row_labels(group, kind, key)
        source, end = node[: batch.num_turns], node[batch.num_turns :]
        target = np.empty_like(source)
        target[:-1] = source[1:]
        target[last] = end
        count = int(node.max(initial=-1)) + 1
        of_node = np.zeros(count, np.int64)
        of_node[node] = group
        ended = np.bincount(end, minlength=count)
        earned = np.bincount(end, weights=batch.returns[played], minlength=count)
        solved = np.bincount(end, weights=batch.success[played], minlength=count)
        return cls(
            source=source,
            target=target,
            edge=row_labels(source, intern(batch.actions), target),
            group=of_node,
            sink=np.bincount(source, minlength=count) == 0,
            reward=earned / np.maximum(ended, 1),
            success=solved > 0,
        )

    def distances(self) -> Floats:
        """Return the fewest turns from each node to a success; infinity where no path leads there.

        Returns:
            Shape [nodes].
        """
        distance = np.where(self.success, 0.0, np.inf)
        source, target = self.source, self.target
        for step in range(1, len(distance) + 1):
            found = source[np.isfinite(distance[target]) & np.isinf(distance[source])]
            if not len(found):
                break
            distance[found] = step
            left = np.isinf(distance[source])
            source, target = source[left], target[left]
        return distance


def solve(graph: GroupGraph, weights: Floats, constants: Floats, factor: float) -> Floats:
    """Solve x[u] = constants[u] + factor * sum of weights * x[target] over the turns from u.

    Args:
        graph: The graphs.
        weights: Of each turn; those from one node add up to 1. Shape [turns].
        constants: Shape [nodes].
        factor: Below 1.

    Returns:
        Shape [nodes].
    """
    nodes = len(constants)
    branching = _branching(graph, nodes)
    ahead, add, times = _follow_chains(graph, branching, constants, factor)
    out = branching[graph.source]
    source, target = graph.source[out], graph.target[out]
    weight = factor * weights[out] * times[target]
    known = ~branching[ahead[target]]
    given = factor * weights[out] * add[target]
    given += np.where(known, weight * constants[ahead[target]], 0.0)
    constant = constants + np.bincount(source, weights=given, minlength=nodes)
    values = _solve_branching(
        graph.group,
        branching,
        (source[~known], ahead[target[~known]], weight[~known]),
        constant,
    )
    return np.where(branching, values, add + times * values[ahead])


def _ends(batch: Batch, keys: list[str], played: Bools) -> tuple[Ints, Ints]:
    """Return kind and key of every turn's node and of every played trajectory's end."""
    final = [batch.final_state_keys[i] for i in np.flatnonzero(played)]
    unnamed = np.array([key is None for key in final], np.bool_)
    kind = np.where(batch.truncated[played], _SITUATION, _END)
    kind[unnamed] = _OWN_END
    key = intern([*keys, *(name or "" for name in final)])
    key[len(keys) :][unnamed] = np.flatnonzero(played)[unnamed]
    return np.concatenate([np.full(len(keys), _SITUATION), kind]), key


def _branching(graph: GroupGraph, nodes: int) -> Bools:
    """Return whether turns from a node led to several nodes; shape [nodes]."""
    one = np.zeros(nodes, np.int64)
    one[graph.source] = graph.target
    branching = np.zeros(nodes, np.bool_)
    branching[graph.source[graph.target != one[graph.source]]] = True
    return branching


def _follow_chains(
    graph: GroupGraph, branching: Bools, constants: Floats, factor: float
) -> tuple[Ints, Floats, Floats]:
    """Return, per node, where its chain of single ways leads: x = add + times * x[ahead].

    Chains are followed twice as far each round. A loop without a way out needs as many rounds as
    make its factor vanish.
    """
    ahead, chained = np.arange(len(branching)), ~branching & ~graph.sink
    single = chained[graph.source]
    ahead[graph.source[single]] = graph.target[single]
    add, times = np.where(chained, constants, 0.0), np.where(chained, factor, 1.0)
    while (chained[ahead] & (times > 1e-18)).any():
        add, times, ahead = add + times * add[ahead], times * times[ahead], ahead[ahead]
    return ahead, add, np.where(chained[ahead], 0.0, times)


def _solve_branching(
    group: Ints, branching: Bools, ways: tuple[Ints, Ints, Floats], constant: Floats
) -> Floats:
    """Solve x = constant + sum of weight * x[target] for branching nodes; the rest are given."""
    source, target, weight = ways
    values = constant.copy()
    number = np.cumsum(branching) - 1
    first = np.searchsorted(group[branching], np.arange(int(group.max(initial=-1)) + 2))
    where = np.flatnonzero(branching)
    order = np.argsort(source, kind="stable")
    source, target, weight = number[source[order]], number[target[order]], weight[order]
    sizes = np.diff(first)
    for index in np.flatnonzero((sizes > 0) & (sizes <= DENSE)):
        start, size = first[index], sizes[index]
        low, high = np.searchsorted(source, [start, start + size])
        cell = (source[low:high] - start) * size + target[low:high] - start
        matrix = np.bincount(cell, weights=weight[low:high], minlength=size * size)
        nodes = where[start : start + size]
        system = np.eye(size) - matrix.reshape(size, size)
        values[nodes] = np.linalg.solve(system, constant[nodes])
    large = (sizes > DENSE)[group[where]]
    if large.any():
        on = large[source]
        _iterate(values, constant, where[source[on]], where[target[on]], weight[on])
    return values


def _iterate(values: Floats, constant: Floats, source: Ints, target: Ints, weight: Floats) -> None:
    """Repeat values <- constant + sum of weight * values[target], in place, until they rest."""
    nodes = np.unique(source)
    change, largest = np.inf, 0.0
    while change > ACCURACY * largest:
        sums = np.bincount(source, weights=weight * values[target], minlength=len(values))
        fresh = constant[nodes] + sums[nodes]
        change = float(np.abs(fresh - values[nodes]).max(initial=0.0))
        largest = float(np.abs(fresh).max(initial=0.0))
        values[nodes] = fresh
