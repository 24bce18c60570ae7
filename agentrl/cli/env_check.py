"""`agentrl env check`: is an environment sound, how fast is it, what do agents achieve in it?"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from agentrl.cli.output import print_json
from agentrl.options import read_options


def check(
    name: Annotated[str, typer.Argument(help="A registered environment, or file.py:Class.")],
    split: Annotated[str, typer.Option(help="The split to play.")] = "train",
    options: Annotated[
        list[str] | None, typer.Option("--set", help="An environment option: option=value.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="Episodes each check plays, at most.")] = 16,
    fuzz: Annotated[int, typer.Option(help="Hostile actions to try.")] = 3000,
    seed: Annotated[int, typer.Option(help="Seeds the choice of tasks and actions.")] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Make this check only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check an environment; exit code 0: sound, 1: problems found, 2: it could not be made."""
    from agentrl.check import check_environment

    report = check_environment(
        name,
        split=split,
        options=read_options(options or (), "--set"),
        episodes=episodes,
        fuzz=fuzz,
        seed=seed,
        only=only or (),
        on_start=_announce,
    )
    _announce("")
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
    if report.problems:
        raise typer.Exit(1)


def print_report(report: Any) -> None:
    """Print a report for people: every check, what it found and why it matters."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(f"{report.environment}, split {report.split}"))
    styles = {"pass": "green", "fail": "bold red", "skip": "yellow"}
    for finding in report.findings:
        head = Text(f"  {finding.status:<5}", style=styles[finding.status])
        console.print(head + Text(f"{finding.name}: {finding.why}", style="default"))
        for problem in finding.problems:
            console.print(Text(f"         ✗ {problem}", style="red"))
        for note in [finding.skipped or "", *finding.notes]:
            if note:
                console.print(Text(f"         · {note}", style="dim"))
    if any(value is not None for value in report.figures.values()):
        console.print(Text(_figures(report.figures)))
    count = len(report.problems)
    console.print("no problems" if not count else f"{count} problem{'s' * (count > 1)}")


def _figures(figures: dict[str, float | int | None]) -> str:
    rate, reset = figures["steps_per_second"], figures["reset_seconds"]
    size = figures["bytes_per_environment"]
    parts = [
        "  random agent " + _share(figures["random_success"]),
        "oracle " + _share(figures["oracle_success"]),
        f"{rate:,.0f} steps/s" if rate is not None else "steps/s unknown",
        f"reset {reset * 1000:.2f} ms" if reset is not None else "reset unknown",
        f"{size / 1024:,.0f} KiB per instance" if size is not None else "memory unknown",
    ]
    if figures.get("step_seconds_p50") is not None:
        percents = (figures[f"step_seconds_p{p}"] or 0.0 for p in (50, 95, 99))
        latencies = " / ".join(f"{seconds * 1e6:,.0f}" for seconds in percents)
        parts.append(f"step p50/p95/p99 {latencies} µs")
    return ", ".join(parts)


def _share(value: float | int | None) -> str:
    return "none" if value is None else f"{value:.0%}"


def _announce(check: str) -> None:
    """Show on a terminal which check is running."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{check and f'checking {check} …'}", end="", file=sys.stderr, flush=True)
