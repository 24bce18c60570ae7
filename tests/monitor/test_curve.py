from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentrl.monitor.curve import Curve, HeldOutPoint, save_curves, smooth, terminal_curve


def test_smooth_is_the_mean_of_the_last_values() -> None:
    assert smooth([1.0, 3.0, 5.0, 7.0], window=2) == pytest.approx([1.0, 2.0, 4.0, 6.0])


def test_terminal_curve_rises_with_its_values() -> None:
    lines = terminal_curve([0.0, 0.25, 0.5, 1.0], width=4, height=4).splitlines()
    drawn = [line.partition("│")[2] for line in lines[:4]]
    heights = [sum(line[column] == "█" for line in drawn) for column in range(4)]
    assert heights == [0, 1, 2, 4]
    assert "4 updates" in lines[-1]


def test_terminal_curve_averages_what_does_not_fit() -> None:
    curve = terminal_curve(list(np.tile([0.0, 1.0], 500)), width=10, height=2)
    assert curve.splitlines()[1].endswith("██████████")
    assert "1000 updates" in curve


def test_nothing_to_draw() -> None:
    assert terminal_curve([]) == "(no updates yet)"


def test_picture(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    points = [HeldOutPoint(0, 0.2, 0.1, 0.3), HeldOutPoint(2, 0.5, 0.4, 0.6)]
    curves = [Curve(name, [0.1, 0.5], points) for name in ("success", "score")]
    save_curves(path, curves, title="t")
    assert path.read_bytes().startswith(b"\x89PNG")
