"""Learning curves: a PNG for documents and a block of characters for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agentrl.errors import MissingExtraError

_BLOCKS = " ▁▂▃▄▅▆▇█"


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


def save_curve(
    path: Path,
    success: Sequence[float],
    *,
    before: tuple[float, float, float],
    after: tuple[float, float, float],
    title: str,
) -> None:
    """Draw success while training, with held-out success before and after.

    Args:
        path: Where the PNG goes.
        success: Share of solved training episodes, one per update.
        before: Held-out success of the start policy, and its interval's ends.
        after: The same of the final policy.
        title: Shown above the curve.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "train", "drawing learning curves") from None
    figure = Figure(figsize=(7.2, 4.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    updates = np.arange(1, len(success) + 1)
    axes.plot(updates, success, color="#b8c4d6", linewidth=1, label="training episodes")
    axes.plot(updates, smooth(success), color="#1f4e9c", linewidth=2, label="running mean of 5")
    for x, (value, low, high), colour, label in (
        (0, before, "#c2571a", "held-out games, before"),
        (len(success), after, "#2a7f3f", "held-out games, after"),
    ):
        spread = [[value - low], [high - value]]
        axes.errorbar([x], [value], yerr=spread, fmt="o", capsize=4, color=colour, label=label)
    axes.set(xlabel="update", ylabel="success", ylim=(0, 1), title=title)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path)
