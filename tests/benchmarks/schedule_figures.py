"""The figures of `bench_schedules.py`: learning curves, and who worked when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from schedule_timeline import Span, Timeline

from agentrl.monitor.curve import smooth

COLOURS = {"sync": "#1f4e9c", "one_step_off": "#c2571a", "async": "#2a7f3f"}
LEARNER, ENGINE, SYNC = "#1f4e9c", ("#f0b27a", "#e59866"), "#222222"

FLOOR = 1.15
"""Where the engine's lane begins."""


@dataclass(frozen=True, slots=True)
class Learned:
    """How a run went."""

    success: Sequence[float]
    """Of the training episodes of each update."""
    finished: Sequence[float]
    """Seconds from the first episode to the end of each update."""


def draw_curves(path: Path, runs: Mapping[str, Learned]) -> None:
    """Draw success over updates and over time."""
    figure = Figure(figsize=(11, 4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for kind, run in runs.items():
        updates = range(1, len(run.success) + 1)
        minutes = [seconds / 60 for seconds in run.finished]
        for axes, places in ((left, updates), (right, minutes)):
            axes.plot(places, run.success, color=COLOURS[kind], linewidth=1, alpha=0.25)
            axes.plot(places, smooth(run.success), color=COLOURS[kind], linewidth=2, label=kind)
    left.set(xlabel="update", ylabel="success of training episodes", ylim=(0, 1))
    right.set(xlabel="minutes, engine and learner on the same two cores", xlim=(0, None))
    for axes in (left, right):
        _tidy(axes)
    left.legend(frameon=False, title="running mean of 5 updates", loc="lower right")
    figure.savefig(path)


def draw_timelines(path: Path, timelines: Mapping[str, Timeline]) -> None:
    """Draw what engine and learner do in each schedule, on one scale of time."""
    figure = Figure(figsize=(11, 1.55 * len(timelines) + 0.9), dpi=150, layout="constrained")
    longest = max(timeline.seconds for timeline in timelines.values())
    panels = figure.subplots(len(timelines), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (kind, timeline) in zip(panels, timelines.items(), strict=True):
        _draw_timeline(axes, timeline, longest)
        ratio = timelines["sync"].seconds / timeline.seconds
        text = f"{kind}: {timeline.seconds:.0f} s" + (f", {ratio:.2f}x" if kind != "sync" else "")
        axes.set_title(text, loc="left", fontsize=10, fontweight="bold")
        axes.set(xlim=(0, longest), ylim=(-0.08, 2.2), yticks=[0.5, 1.6])
        axes.set_yticklabels(["learner", "engine"])
        axes.tick_params(axis="y", length=0)
        axes.axvline(timeline.seconds, color="#888888", linewidth=0.8, linestyle=":")
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[-1].set_xlabel("seconds, simulated from measured durations")
    keys = [
        Patch(color=ENGINE[0], label="episodes in flight, shaded by policy version"),
        Patch(color=LEARNER, label="learning"),
        Patch(color=SYNC, label="weights change"),
    ]
    figure.legend(handles=keys, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path)


def _draw_timeline(axes: Any, timeline: Timeline, longest: float) -> None:
    for version in sorted({span.label for span in timeline.engine}):
        spans = [span for span in timeline.engine if span.label == version]
        times, loads = _outline(spans)
        axes.fill_between(times, FLOOR, loads, color=ENGINE[version % 2], linewidth=0)
    for span in timeline.learner:
        length = span.end - span.begin
        axes.barh(0.45, length, 0.9, span.begin, color=LEARNER, edgecolor="white", linewidth=0.6)
        if length > longest / 60:
            axes.text(
                span.begin + length / 2, 0.43, span.label,
                color="white", ha="center", va="center", fontsize=7,
            )  # fmt: skip
    for span in timeline.syncs:
        axes.plot([span.begin, span.begin], [0, 2.1], color=SYNC, linewidth=0.8)


def _outline(spans: Sequence[Span]) -> tuple[list[float], list[float]]:
    """Return times and heights of the share of slots in use, as steps that begin and end at 0."""
    times: list[float] = []
    loads: list[float] = []
    for span in spans:
        times += [span.begin, span.begin, span.end, span.end]
        loads += [0.0, span.load, span.load, 0.0]
    return times, [FLOOR + 0.95 * load for load in loads]


def _tidy(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
