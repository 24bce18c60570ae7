"""What a person sees while data is fetched and packed: a bar on a terminal, else plain lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol, TextIO

Unit = Literal["bytes", "items"]
Advance = Callable[[int], None]
_STEPS = 10
"""Plain progress prints a line for each tenth."""


class Progress(Protocol):
    """Told of everything that takes time."""

    def task(
        self, what: str, total: int | None, done: int = 0, unit: Unit = "items"
    ) -> AbstractContextManager[Advance]:
        """Begin something of a given size, of which some may be done; gives what advances it."""

    def say(self, line: str) -> None:
        """Tell something that has happened."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(
        self, what: str, total: int | None, done: int = 0, unit: Unit = "items"
    ) -> Iterator[Advance]:
        """Begin something."""
        yield lambda count: None

    def say(self, line: str) -> None:
        """Tell nobody."""


class Lines:
    """Prints a line at the start, at each tenth, and at the end."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Print to `stream`, by default standard error."""
        self._stream = stream or sys.stderr

    @contextmanager
    def task(
        self, what: str, total: int | None, done: int = 0, unit: Unit = "items"
    ) -> Iterator[Advance]:
        """Begin something."""
        size = "" if total is None else f" ({_amount(total, unit)})"
        resumed = f", {_amount(done, unit)} are here already" if done else ""
        self.say(f"{what}{size}{resumed}")
        now, told = done, _tenth(done, total)

        def advance(count: int) -> None:
            nonlocal now, told
            now += count
            if _tenth(now, total) > told:
                told = _tenth(now, total)
                self.say(f"{what}: {told * 100 // _STEPS} %")

        yield advance

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=self._stream, flush=True)


class Bars:
    """Draws a bar on the terminal, with speed and time left."""

    @contextmanager
    def task(
        self, what: str, total: int | None, done: int = 0, unit: Unit = "items"
    ) -> Iterator[Advance]:
        """Begin something."""
        from rich import progress
        from rich.console import Console

        figures: tuple[progress.ProgressColumn, ...] = (progress.MofNCompleteColumn(),)
        if unit == "bytes":
            figures = (progress.DownloadColumn(), progress.TransferSpeedColumn())
        columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), *figures)
        bar = progress.Progress(
            *columns, progress.TimeRemainingColumn(), console=Console(stderr=True)
        )
        with bar:
            number = bar.add_task(what, total=total, completed=done)
            yield lambda count: bar.advance(number, count)

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=sys.stderr, flush=True)


def for_terminal() -> Progress:
    """Return bars where standard error is a terminal, else lines."""
    return Bars() if sys.stderr.isatty() else Lines()


def size(count: int) -> str:
    """Return a number of bytes for people to read."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def _amount(count: int, unit: Unit) -> str:
    return size(count) if unit == "bytes" else f"{count:,}"


def _tenth(now: int, total: int | None) -> int:
    return now * _STEPS // total if total else 0
