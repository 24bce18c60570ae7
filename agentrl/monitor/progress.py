"""What a person sees while a run goes on: one compact table row per update."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from agentrl.monitor.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of the table."""

    title: str
    metric: str
    style: str
    """A format specification, such as `.2f` or `.0%`."""


COLUMNS = (
    Column("reward", "reward", ".2f"),
    Column("success", "success", ".0%"),
    Column("turns", "turns_per_episode", ".1f"),
    Column("entropy", "entropy", ".3f"),
    Column("kl", "kl_old", ".4f"),
    Column("clip", "clip_fraction", ".1%"),
    Column("lp gap", "drift/gap_mean", ".0e"),
    Column("invalid", "invalid_actions", ".1%"),
    Column("flat", "zero_variance_groups", ".0%"),
    Column("tok/s", "tokens_per_second", ",.0f"),
)
PHASES = ("rollout", "signals", "credit", "learning", "sync")
_WIDTH = 8
_HEADER_EVERY = 25


class Progress:
    """Prints the table; on a terminal the header comes back when it has scrolled away."""

    def __init__(self, updates: int, console: Console | None = None) -> None:
        """Prepare for `updates` updates; prints to standard error by default."""
        self._updates = updates
        self._console = console or Console(stderr=True, highlight=False)
        self._rows = 0

    def row(self, update: int, metrics: Metrics) -> None:
        """Print the figures of one update."""
        if self._rows % _HEADER_EVERY == 0:
            titles = "".join(column.title.rjust(_WIDTH) for column in COLUMNS)
            self._print(f"{'update':>11}{titles}{'seconds: ' + '/'.join(PHASES):>46}", "bold")
        self._rows += 1
        cells = "".join(_cell(metrics, column).rjust(_WIDTH) for column in COLUMNS)
        self._print(f"{update:>5}/{self._updates:<5}{cells}{_split(metrics):>46}")

    def note(self, text: str) -> None:
        """Print a line between rows."""
        self._print(text, "cyan")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)


def _cell(metrics: Metrics, column: Column) -> str:
    value = metrics.get(column.metric)
    return "-" if value is None else format(value, column.style)


def _split(metrics: Metrics) -> str:
    seconds = [metrics.get(f"seconds_{phase}", 0.0) for phase in PHASES]
    total = sum(seconds)
    shares = "/".join(f"{value / total:.0%}" for value in seconds) if total else "-"
    return f"{total:.1f}: {shares}"
