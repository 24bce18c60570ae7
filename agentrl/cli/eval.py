"""`agentrl eval`: how well a run's policy, or a model, does on a fixed panel of tasks."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentrl.cli.output import print_json, print_table
from agentrl.errors import ConfigError, MissingModelError
from agentrl.options import read_options

if TYPE_CHECKING:
    from agentrl.evaluation.evaluate import Progress
    from agentrl.evaluation.report import Report
    from agentrl.evaluation.statistics import Estimate
    from agentrl.evaluation.target import Target


def evaluate(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run directory; or give --model.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value on top of the settings.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="`tiny`, a model directory, a Hugging Face name, or an endpoint's URL; with "
            "engine=openai a model's name there."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Default: evaluation.split.")] = None,
    attempts: Annotated[
        int | None, typer.Option(min=1, help="Attempts per task. Default: evaluation.attempts.")
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(min=1, help="Size of the panel. Default: evaluation.tasks.")
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(help="Of a run: a checkpoint's number, or `base`. Default: the latest."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="For a model: settings of environment, dialogue, engine.")
    ] = None,
    env: Annotated[str | None, typer.Option(help="For a model: the environment.")] = None,
    env_options: Annotated[
        list[str] | None, typer.Option(help="key=value, in YAML; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seeds environments and sampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Evaluate a run or a model on held-out tasks; a stopped evaluation goes on where it was."""
    from agentrl.evaluation.offline import evaluate_target

    words = list(overrides or [])
    if run is not None and "=" in run and not os.path.exists(run):
        words.insert(0, run)
        run = None
    with _hint_at_endpoints(model):
        found = _target(run, model, step, config, env, words)
        options = read_options(env_options or [], "--env-options")
        with _progress() as on_progress:
            report = evaluate_target(
                found,
                split=split,
                attempts=attempts,
                tasks=tasks,
                options=options,
                seed=seed,
                on_progress=on_progress,
            )
    if as_json:
        print_json(report.as_dict())
    else:
        print_report(report)
    return 0


@contextmanager
def _hint_at_endpoints(model: str | None) -> Iterator[None]:
    """Say how a model at an endpoint is named, where a name stands for nothing here."""
    try:
        yield
    except MissingModelError as error:
        if model is None or model.startswith(("/", ".", "~")):
            raise
        raise MissingModelError(
            f"{error}; a model behind an endpoint needs engine=openai or OPENAI_BASE_URL"
        ) from None


def _target(
    run: str | None,
    model: str | None,
    step: str | None,
    config: Path | None,
    env: str | None,
    overrides: list[str],
) -> Target:
    from agentrl.evaluation.target import find_model, find_run

    if (run is None) == (model is None):
        raise ConfigError(
            "name what to evaluate, either a run or a model: agentrl eval RUN, or "
            "agentrl eval --model NAME --env NAME"
        )
    if model is not None:
        if step is not None:
            raise ConfigError(f"--step {step} is a run's; the model {model} has no steps")
        return find_model(model, config=config, env=env, overrides=overrides)
    found = find_run(run or "", step=step, overrides=overrides)
    if config is not None or env is not None:
        raise ConfigError(f"{run} is a run with its own settings; leave out --config and --env")
    return found


def print_report(report: Report) -> None:
    """Print a report for people."""
    conditions = report.conditions
    settings = ", ".join(f"{key}={value}" for key, value in conditions.options.items())
    held_out = {True: ", held out", False: ", open to training", None: ""}[report.held_out]
    print(
        f"{conditions.environment} · split {conditions.split}{held_out}"
        f"{f' ({settings})' if settings else ''} · policy {conditions.policy} · "
        f"{report.tasks} tasks ({report.panel}) x {_count(report.attempts, 'attempt')} · "
        f"temperature {_temperature(conditions.sampling)}"
    )
    print_table(("figure", "value", "95% interval"), _rows(report))
    for line in _remarks(report):
        print(line)


def _temperature(sampling: dict[str, float]) -> str:
    return f"{sampling['temperature']:g}" if "temperature" in sampling else "its own"


def _rows(report: Report) -> Iterator[tuple[str, str, str]]:
    yield ("success", f"{report.success.value:.3f}", interval(report.success))
    yield ("score", f"{report.score.value:.3f}", interval(report.score))
    for k, estimate in report.pass_at.items():
        if k > 1:
            yield (f"pass@{k}", f"{estimate.value:.3f}", interval(estimate))
    yield ("turns", f"{report.turns:.1f}", "")
    yield ("tokens sampled", f"{report.tokens:.0f}", "")
    if report.prompt_tokens:
        yield ("tokens read", f"{report.prompt_tokens:.0f}", "")
    yield ("invalid turns", f"{report.invalid_rate:.1%}", "")
    for name, value in report.metrics.items():
        yield (name, f"{value:.3f}", "")
    for outcome, count in report.outcomes.items():
        yield (f"ended: {outcome}", str(count), "")


def _remarks(report: Report) -> Iterator[str]:
    played = report.scored - report.resumed
    earlier = f", {report.resumed} more from an earlier evaluation" if report.resumed else ""
    yield f"{_count(max(played, 0), 'attempt')} in {report.seconds:.1f} s{earlier}"
    if report.attempts > 1:
        yield "intervals count tasks, not attempts: attempts at one task are not independent"
    if report.faults:
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.faults.items())
        yield f"failures of infrastructure, never scored, played again or missing: {kinds}"
    if report.missing:
        first = report.missing[0]
        yield (
            f"MISSING: {_count(len(report.missing), 'attempt')}, first {first.task} "
            f"({first.error or first.outcome}); the same command plays them again"
        )
    yield f"results: {report.results}"


def interval(estimate: Estimate) -> str:
    """Return an interval as people read it."""
    if math.isnan(estimate.low):
        return "unknown: no spread was seen"
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None] | None]:
    """Show a progress bar on a terminal; Ctrl-C says what is kept."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    last: list[Progress] = []
    with Bar(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("starting", total=None)

        def show(progress: Progress) -> None:
            last[:] = [progress]
            rate = progress.solved / max(progress.done, 1)
            text = f"success {rate:.3f}" + (f", lost {progress.lost}" if progress.lost else "")
            bar.update(task, completed=progress.done, total=progress.total, description=text)

        try:
            yield show
        except KeyboardInterrupt:
            done, total = (last[0].done, last[0].total) if last else (0, 0)
            kept = f"{done} of {total} attempts are kept" if last else "nothing was played yet"
            print(f"\n{kept}; the same command goes on", file=sys.stderr)
            raise
