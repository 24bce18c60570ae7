from __future__ import annotations

import io

import pytest

from agentrl.data.progress import Bars, Lines, Silent, for_terminal, size


def test_lines() -> None:
    out = io.StringIO()
    with Lines(out).task("downloading a.zip", 1000, 350, "bytes") as advance:
        for _ in range(65):
            advance(10)
    assert out.getvalue().splitlines() == [
        "downloading a.zip (1.0 kB), 350 B are here already",
        *(f"downloading a.zip: {tenth}0 %" for tenth in range(4, 11)),
    ]


def test_lines_without_a_known_size() -> None:
    out = io.StringIO()
    with Lines(out).task("downloading", None) as advance:
        advance(10**9)
    assert out.getvalue() == "downloading\n"


def test_bars(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    with bars.task("downloading", 2000, 500, "bytes") as advance:
        advance(1500)
    bars.say("done")
    captured = capsys.readouterr()
    assert "2.0/2.0 kB" in captured.err
    assert captured.err.endswith("done\n")
    assert captured.out == ""


def test_no_bars_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(for_terminal(), Lines)
    with Silent().task("x", 3) as advance:
        advance(3)
    Silent().say("nothing")
    assert capsys.readouterr() == ("", "")


def test_sizes() -> None:
    given = (0, 999, 1000, 36_493_542, 5_479_720_229, 10**15)
    told = ["0 B", "999 B", "1.0 kB", "36.5 MB", "5.48 GB", "1000000.00 GB"]
    assert [size(count) for count in given] == told
