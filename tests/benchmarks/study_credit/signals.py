"""Whether the signal is there: what each method had to work with, from stored trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from arms import HOST, Arm

from agentrl.batch import Batch, Floats
from agentrl.credit import assign, parse
from agentrl.credit.coincidence import label_means
from agentrl.credit.empg import Empg
from agentrl.credit.gigpo import Gigpo
from agentrl.credit.group_graph import GroupGraph
from agentrl.credit.igpo import Igpo
from agentrl.credit.salt import merge_rate
from agentrl.credit.statistics import constant_groups
from agentrl.monitor.metrics import read_metrics
from agentrl.trajectory import Signals

COMPARED = ("salt", "gigpo", "graph_value")
WHOLE = 1000
"""A history longer than any episode: turns merge only where all that went before is equal."""


def diagnose(run: Path) -> dict[str, float]:
    """Return what the graph methods had to work with, the mean over a run's updates."""
    files = sorted((run / "trajectories").glob("update-*"))
    rows = [row for file in files if (row := _shared_in(Batch.from_jsonl(file)))]
    metrics = read_metrics(run / "metrics.jsonl")
    constant = [row["zero_variance_groups"] for row in metrics]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means | {"zero_variance_groups": float(np.mean(constant))}


def _shared_in(batch: Batch) -> dict[str, float]:
    """Return figures of one batch, over the turns of groups whose returns differ, if any do."""
    mixed = ~constant_groups(batch.returns, batch.group_of_trajectory())
    turns = mixed[batch.group_of_trajectory()[batch.trajectory_of_turn()]]
    if not turns.any():
        return {}
    visited = Gigpo().step_groups(batch)
    visits = np.bincount(visited)[visited]
    host = assign(batch, parse([HOST]))
    graph = GroupGraph.from_batch(batch, "graph_value")
    _, first = np.unique(graph.edge, return_index=True)
    ways = np.bincount(graph.source[first], minlength=len(graph.sink))[graph.source]
    figures = {
        "merge_rate": merge_rate(batch),
        "merge_rate_1": merge_rate(batch, {"history": 1}),
        "merge_rate_prefix": merge_rate(batch, {"history": WHOLE}),
        "visits": float(visits[turns].mean()),
        "shared": float((visits > 1)[turns].mean()),
        "branching": float((ways > 1)[turns].mean()),
    }
    for name in COMPARED:
        values = assign(batch, parse([HOST, name]))
        figures[f"{name}_correlation"] = float(np.corrcoef(values[turns], host[turns])[0, 1])
        figures[f"{name}_within"] = float(_within(batch, values)[turns].mean())
    return figures


def _within(batch: Batch, values: Floats) -> Floats:
    """Return how far each turn's value is from its episode's mean."""
    return np.abs(values - label_means(values, batch.trajectory_of_turn()))


def measure(arm: Arm, run: Path) -> dict[str, Any]:
    """Return entropy and, where there are answers, information gain at a run's start and end.

    The policy at the start and after the last update is asked about the first and the last
    episodes of training.
    """
    config = arm.config()
    policies = {1: config.policy.model, config.updates: _last_policy(run)}
    found = {}
    for update, model in policies.items():
        batch = Batch.from_jsonl(run / "trajectories" / f"update-{update:06d}.jsonl.zst")
        signals = _signals(config, model, "empg", batch)
        figures = _entropies(batch, signals) | _against_host(batch, "empg", signals)
        if all(answer is not None for answer in batch.answers):
            signals = _signals(config, model, "igpo", batch)
            figures |= _gains(batch, signals) | _against_host(batch, "igpo", signals)
        found["start" if update == 1 else "end"] = figures
    return found


def _last_policy(run: Path) -> str:
    return str(max((run / "checkpoints").glob("step-*")) / "policy")


def _signals(config: Any, model: str, method: str, batch: Batch) -> Signals:
    """Return the signals that a method needs, as a training run measures them."""
    from agentrl.parts import build_parts

    policy = config.policy.model_copy(update={"model": model})
    parts = build_parts(config.model_copy(update={"policy": policy, "credit": (HOST, method)}))
    known: Signals = {}
    for source in parts.sources:
        known |= source.measure(batch, known, temperature=config.sampling.temperature)
    return known


def _against_host(batch: Batch, method: str, signals: Signals) -> dict[str, float]:
    """Return how a method's values go with the host's, and how many of a success are negative."""
    values, host = assign(batch, parse([HOST, method]), signals), assign(batch, parse([HOST]))
    mixed = host != 0
    won = mixed & batch.success[batch.trajectory_of_turn()]
    return {
        f"{method}_correlation": float(np.corrcoef(values[mixed], host[mixed])[0, 1]),
        f"{method}_negative_in_successes": float((values[won] < 0).mean()),
    }


def _entropies(batch: Batch, signals: Signals) -> dict[str, Any]:
    why = Empg().explain(batch, None, signals)
    entropy = np.array([turn["entropy"] for turn in why])
    scale = np.array([turn["scale"] for turn in why])
    won = batch.success[batch.trajectory_of_turn()]
    return {
        "entropy": _quantiles(entropy),
        "empg_scale": _quantiles(scale),
        "entropy_of_successes": float(entropy[won].mean()),
        "entropy_of_failures": float(entropy[~won].mean()),
    }


def _gains(batch: Batch, signals: Signals) -> dict[str, Any]:
    why = Igpo().explain(batch, None, signals)
    gains = np.array([turn.get("information_gain") for turn in why], np.float64)
    position = np.arange(batch.num_turns) - batch.turn_offsets[batch.trajectory_of_turn()]
    won = batch.success[batch.trajectory_of_turn()]
    known = np.isfinite(gains)
    by_turn: Mapping[str, Any] = {
        str(turn + 1): [int(at.sum()), float(gains[at].mean())]
        for turn in range(int(position.max()) + 1)
        if (at := known & (position == turn)).any()
    }
    return {
        "gain": _quantiles(gains[known]),
        "gain_by_turn": by_turn,
        "gain_of_successes": float(gains[known & won].mean()),
        "gain_of_failures": float(gains[known & ~won].mean()),
    }


def _quantiles(values: Floats) -> list[float]:
    """Return the 5%, 50% and 95% quantiles."""
    return [float(q) for q in np.quantile(values, (0.05, 0.5, 0.95))]
