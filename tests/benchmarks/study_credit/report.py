"""Tables and curves of the study.

Arms are compared at equal environment steps: the horizon of a world is the fewest steps that any
of its runs took, and each run's held-out curve is read there, between two evaluations linearly.
The area under it up to the horizon is divided by the horizon: the mean success while learning.
Intervals are Student's t over seeds; differences are to `grpo` with the same seed, and so the same
tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from arms import HOST
from signals import diagnose

from agentrl.batch import Floats
from agentrl.evaluation.statistics import Estimate, t95
from agentrl.monitor.metrics import read_metrics

COLOURS = {
    "grpo": "#222222",
    "salt": "#1f4e9c",
    "gigpo": "#c2571a",
    "graph_value": "#2a7f3f",
    "empg": "#8e3b8c",
    "oprl": "#b8860b",
    "igpo": "#1a9aa8",
}


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One finished run."""

    path: Path
    method: str
    seed: int
    metrics: list[dict[str, Any]]
    steps: Floats
    """Environment steps taken before each held-out evaluation."""
    success: Floats
    """Held out, at these steps."""

    def at(self, steps: float) -> float:
        """Return the held-out success after so many environment steps."""
        return float(np.interp(steps, self.steps, self.success))

    def area(self, horizon: float) -> float:
        """Return the mean held-out success up to a horizon, by trapezoids."""
        inside = self.steps < horizon
        x = np.append(self.steps[inside], horizon)
        y = np.append(self.success[inside], self.at(horizon))
        return float(np.trapezoid(y, x) / horizon)


def read_results(runs: Path, world: str, methods: Iterable[str]) -> list[Result]:
    """Return the finished runs of a world, in order of method and seed."""
    found = []
    for method in methods:
        for path in sorted((runs / world).glob(f"{method}-*/held_out.jsonl")):
            name, _, seed = path.parent.name.rpartition("-")
            if name != method or not is_finished(path.parent):
                continue
            held_out = read_metrics(path)
            metrics = read_metrics(path.parent / "metrics.jsonl")
            taken = np.cumsum([0.0, *(row["env_steps"] for row in metrics)])
            steps = np.array([taken[row["update"]] for row in held_out])
            success = np.array([row["success"] for row in held_out])
            found.append(Result(path.parent, method, int(seed), metrics, steps, success))
    return found


def is_finished(run: Path) -> bool:
    """Return whether a run has its last held-out figures."""
    if not (run / "config.yaml").exists():
        return False
    held_out = read_metrics(run / "held_out.jsonl")
    # Read as plain YAML: older revisions may have had other keys.
    updates = yaml.safe_load((run / "config.yaml").read_text())["updates"]
    return bool(held_out) and held_out[-1]["update"] == updates


def mean_of(values: Sequence[float]) -> Estimate:
    """Return the mean over seeds with its 95% t interval."""
    data = np.asarray(values, np.float64)
    mean = float(data.mean())
    if len(data) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    margin = t95(len(data) - 1) * float(data.std(ddof=1)) / len(data) ** 0.5
    return Estimate(mean, mean - margin, mean + margin)


def compare(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Return the figures of each arm of a world."""
    horizon = min(result.steps[-1] for result in results)
    by_method: dict[str, dict[int, Result]] = {}
    for result in results:
        by_method.setdefault(result.method, {})[result.seed] = result
    host = by_method.get(HOST, {})
    rows = {}
    for method, runs in by_method.items():
        common = sorted(runs.keys() & host.keys())
        gains = [runs[s].at(horizon) - host[s].at(horizon) for s in common]
        areas = [runs[s].area(horizon) - host[s].area(horizon) for s in common]
        rows[method] = {
            "seeds": sorted(runs),
            "horizon": horizon,
            "env_steps": _plain(mean_of([r.steps[-1] for r in runs.values()])),
            "start": _plain(mean_of([r.success[0] for r in runs.values()])),
            "success": _plain(mean_of([r.at(horizon) for r in runs.values()])),
            "last": _plain(mean_of([r.success[-1] for r in runs.values()])),
            "area": _plain(mean_of([r.area(horizon) for r in runs.values()])),
            "success_gain": _plain(mean_of(gains)) if common else None,
            "area_gain": _plain(mean_of(areas)) if common else None,
        }
    return rows


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures of a world as Markdown."""
    horizon = next(iter(rows.values()))["horizon"]
    lines = [
        f"| | success after {horizon:,.0f} steps | minus `{HOST}` | mean on the way | "
        f"minus `{HOST}` | steps in all | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, row in rows.items():
        gains = ["", ""]
        if method != HOST:
            gains = [_signed(row[name]) for name in ("success_gain", "area_gain")]
        lines.append(
            f"| `{method}` | {_interval(row['success'])} | {gains[0]} | {_interval(row['area'])} | "
            f"{gains[1]} | {row['env_steps']['value']:,.0f} | {len(row['seeds'])} |"
        )
    return "\n".join(lines)


def draw(path: Path, results: Mapping[str, Sequence[Result]]) -> None:
    """Draw the mean learning curves of all worlds with their intervals over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2 * len(results), 4.4), dpi=150, layout="constrained")
    for axes, (world, found) in zip(
        figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True
    ):
        horizon = min(result.steps[-1] for result in found)
        grid = np.linspace(0, horizon, 60)
        for method in dict.fromkeys(result.method for result in found):
            curves = np.array(
                [np.interp(grid, r.steps, r.success) for r in found if r.method == method]
            )
            axes.plot(grid, curves.mean(axis=0), color=COLOURS[method], label=method, linewidth=2)
            if method == HOST and len(curves) > 1:
                margin = t95(len(curves) - 1) * curves.std(axis=0, ddof=1) / len(curves) ** 0.5
                middle = curves.mean(axis=0)
                axes.fill_between(
                    grid, middle - margin, middle + margin, color="#222222", alpha=0.12, linewidth=0
                )
        axes.set(
            title=world, xlabel="environment steps", ylabel="held-out success", ylim=(0.2, 0.8)
        )
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper left", frameon=False)
    figure.savefig(path)


def draw_preferences(path: Path, results: Mapping[str, Sequence[Result]]) -> None:
    """Draw how often the process reward model ranks pairs right that it has never seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2 * len(results), 4.0), dpi=150, layout="constrained")
    for axes, (world, found) in zip(
        figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True
    ):
        curves = [preferences(result) for result in found]
        updates = np.arange(1, len(curves[0]) + 1)
        for curve in curves:
            axes.plot(updates, curve, color="#b8c4d6", linewidth=1)
        axes.plot(updates, np.nanmean(curves, axis=0), color=COLOURS["oprl"], linewidth=2)
        axes.axhline(0.5, color="#888888", linewidth=1, linestyle=":")
        axes.set(title=world, xlabel="update", ylabel="pairs ranked right", ylim=(0, 1))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def preferences(result: Result) -> Floats:
    """Return the model's accuracy on each update's pairs, from before it learned from them."""
    return np.array([row.get("prm/accuracy", np.nan) for row in result.metrics])


def preference_table(results: Sequence[Result]) -> str:
    """Return the accuracy in quarters of the run as Markdown."""
    quarters = np.array(
        [[np.nanmean(part) for part in np.array_split(preferences(r), 4)] for r in results]
    )
    cells = [_interval(_plain(mean_of(column))) for column in quarters.T]
    return (
        f"Preference accuracy of {len(results)} runs, by quarters\n\n| "
        + " | ".join(("1st", "2nd", "3rd", "4th"))
        + " |\n|---|---|---|---|\n| "
        + " | ".join(cells)
        + " |"
    )


def report(runs: Path, worlds: Sequence[str], methods: Sequence[str], images: Path) -> None:
    """Write `results.json` and the curves, and print the tables."""
    found = {world: read_results(runs, world, methods) for world in worlds}
    found = {world: results for world, results in found.items() if results}
    everything = {}
    for world, results in found.items():
        rows = compare(results)
        signals = {result.path.name: diagnose(result.path) for result in results}
        everything[world] = {"arms": rows, "diagnosis": signals}
        print(f"\n## {world}\n\n{table(rows)}\n\n{_diagnosis_table(results, signals)}")
    (runs / "results.json").write_text(json.dumps(everything, indent=1) + "\n")
    if found:
        images.mkdir(parents=True, exist_ok=True)
        draw(images / "credit-learning.png", found)
    judged = {w: [r for r in results if r.method == "oprl"] for w, results in found.items()}
    judged = {world: results for world, results in judged.items() if results}
    for world, results in judged.items():
        print(f"\n{world}: {preference_table(results)}")
    if judged:
        draw_preferences(images / "credit-preferences.png", judged)


def _diagnosis_table(results: Sequence[Result], signals: Mapping[str, Mapping[str, float]]) -> str:
    names = list(next(iter(signals.values())))
    lines = ["| method | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for method in dict.fromkeys(result.method for result in results):
        own = [signals[result.path.name] for result in results if result.method == method]
        means = [f"{np.mean([row[name] for row in own]):.3f}" for name in names]
        lines.append(f"| {method} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return estimate.as_dict()


def _interval(row: Mapping[str, float | None]) -> str:
    value, low, high = row["value"], row["low"], row["high"]
    assert value is not None
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _signed(row: Mapping[str, float | None] | None) -> str:
    if row is None:
        return ""
    value, low, high = row["value"], row["low"], row["high"]
    assert value is not None
    return f"{value:+.3f}" if low is None else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
