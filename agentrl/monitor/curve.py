"""Learning curves: a PNG for documents and a block of characters for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agentrl.errors import MissingExtraError

_BLOCKS = " ▁▂▃▄▅▆▇█"
_HELD_OUT_COLOURS = ("#c2571a", "#2a7f3f")


def smooth(values: Sequence[float], window: int = 5) -> npt.NDArray[np.float64]:
    """Return the running mean over at most the last `window` values, same length."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def terminal_curve(values: Sequence[float], *, width: int = 64, height: int = 8) -> str:
    """Return a curve of values between 0 and 1, drawn in characters.

    Args:
        values: One per update; resampled to `width` columns by averaging.
        width: Most columns.
        height: Lines.
    """
    if not len(values):
        return "(no updates yet)"
    chunks = np.array_split(np.asarray(values, np.float64), min(width, len(values)))
    levels = np.array([chunk.mean() for chunk in chunks]).clip(0, 1) * height
    lines = []
    for line in range(height - 1, -1, -1):
        filled = ((levels - line).clip(0, 1) * (len(_BLOCKS) - 1)).round().astype(int)
        label = f"{(line + 1) / height:>4.0%}" if line % 2 else "    "
        lines.append(f"{label} │" + "".join(_BLOCKS[i] for i in filled))
    return "\n".join([*lines, "     └" + "─" * len(chunks) + f" {len(values)} updates"])


@dataclass(frozen=True, slots=True)
class HeldOutPoint:
    """A figure that was measured on held-out tasks, and its interval's ends."""

    update: int
    value: float
    low: float
    high: float
    label: str = "held-out tasks"


@dataclass(frozen=True, slots=True)
class Curve:
    """How one figure went."""

    name: str
    """Such as `success`."""
    training: Sequence[float]
    """Of the training episodes, one per update."""
    held_out: Sequence[HeldOutPoint]


def save_curves(path: Path, curves: Sequence[Curve], *, title: str) -> None:
    """Draw learning curves side by side.

    Args:
        path: Where the PNG goes.
        curves: At least one.
        title: Shown above.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "train", "drawing learning curves") from None
    figure = Figure(figsize=(7.2 * len(curves), 4.0), dpi=150, layout="constrained")
    figure.suptitle(title)
    for axes, curve in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves, strict=True):
        _draw(axes, curve)
    figure.savefig(path)


def _draw(axes: Any, curve: Curve) -> None:
    updates = np.arange(1, len(curve.training) + 1)
    axes.plot(updates, curve.training, color="#b8c4d6", linewidth=1, label="training episodes")
    axes.plot(
        updates, smooth(curve.training), color="#1f4e9c", linewidth=2, label="running mean of 5"
    )
    labels = list(dict.fromkeys(point.label for point in curve.held_out))
    for number, label in enumerate(labels):
        points = [point for point in curve.held_out if point.label == label]
        axes.errorbar(
            [point.update for point in points],
            [point.value for point in points],
            yerr=np.array([[p.value - p.low, p.high - p.value] for p in points]).T,
            fmt="o-",
            capsize=4,
            color=_HELD_OUT_COLOURS[number % len(_HELD_OUT_COLOURS)],
            label=label,
        )
    axes.set(xlabel="update", ylabel=curve.name, ylim=(0, 1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
