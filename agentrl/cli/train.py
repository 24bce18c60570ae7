"""`agentrl train` and `agentrl resume`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agentrl.parts import Parts
    from agentrl.run import RunDirectory


def train(
    config: Annotated[
        Path | None, typer.Argument(help="A YAML file, or the first override.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value with the value in YAML.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run directory; default: runs/ENV-CREDIT-TIME.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the last figures as JSON.")
    ] = False,
) -> int:
    """Train a policy: agentrl train configs/quickstart.yaml seed=1 credit=[rloo]."""
    from agentrl.config import load_config
    from agentrl.parts import build_parts
    from agentrl.run import RunDirectory
    from agentrl.trainer import default_run_directory

    words = list(overrides or [])
    if config is not None and "=" in config.name and not config.is_file():
        words.insert(0, str(config))
        config = None
    settings = load_config(config, words)
    path = run or default_run_directory(settings)
    RunDirectory.refuse_taken(path)  # before a server starts and writes into the run's log
    parts = build_parts(settings, path)  # first, so that a wrong setting leaves no run behind
    directory = RunDirectory.create(path, settings)
    return _fit(directory, parts, as_json)


def resume(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the last figures as JSON.")
    ] = False,
) -> int:
    """Go on with an interrupted run from its last checkpoint."""
    from agentrl.parts import build_parts
    from agentrl.run import RunDirectory

    directory = RunDirectory.open(run)
    with directory.alone():
        # Refused here, before a second model is loaded or a second server started beside it.
        config = directory.config()
    return _fit(directory, build_parts(config, run), as_json)


def _fit(directory: RunDirectory, parts: Parts, as_json: bool) -> int:
    from agentrl.monitor.metrics import read_metrics
    from agentrl.trainer import train as fit

    finished = fit(directory.config(), directory, parts)
    rows = read_metrics(directory.metrics_file)
    if as_json:
        print(json.dumps({"run": str(directory.path), "finished": finished, **(rows or [{}])[-1]}))
        return 0 if finished else 130
    if not finished:
        print(f"stopped; go on with: agentrl resume {directory.path}")
        return 130
    print(f"run: {directory.path}")
    if directory.config().evaluation.every:
        print(f"learning curve: {_draw(directory, rows)}")
    print(f"next: agentrl eval {directory.path}")
    return 0


def _draw(directory: RunDirectory, rows: list[dict[str, Any]]) -> Path:
    """Draw success, and the score where it tells more, while training and on held-out tasks."""
    from agentrl.monitor.curve import Curve, HeldOutPoint, save_curves
    from agentrl.monitor.metrics import read_metrics

    config, points = directory.config(), read_metrics(directory.held_out_file)

    def curve(name: str, training: str, low: str, high: str) -> Curve:
        split = f"held out: {config.evaluation.split}"
        held_out = [HeldOutPoint(p["update"], p[name], p[low], p[high], split) for p in points]
        return Curve(name, [row[training] for row in rows], held_out)

    curves = [curve("success", "success", "low", "high")]
    if any(point["score"] != point["success"] for point in points):
        curves.append(curve("score", "reward", "score_low", "score_high"))
    save_curves(directory.curve_file, curves, title=f"{config.env.name}, seed {config.seed}")
    return directory.curve_file
