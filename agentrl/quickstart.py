"""The quickstart: evaluate a small policy, train it, evaluate it again, and show what happened.

Everything runs through the code that a GPU run uses; only the model and the games are small.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentrl.config import Config, load_config
from agentrl.evaluation.compare import Comparison, Evaluated, compare
from agentrl.evaluation.evaluate import Progress as EvaluationProgress
from agentrl.evaluation.offline import evaluate_target
from agentrl.evaluation.report import Report
from agentrl.evaluation.results import read_results
from agentrl.evaluation.target import BASE, find_run
from agentrl.monitor.curve import Curve, HeldOutPoint, save_curves, terminal_curve
from agentrl.monitor.metrics import read_metrics
from agentrl.monitor.progress import PHASES
from agentrl.parts import build_parts
from agentrl.run import RunDirectory
from agentrl.trainer import train
from agentrl.trajectory import Trajectory

CONFIG = Path(__file__).resolve().parent / "configs" / "quickstart.yaml"
_COLUMN = 58


@dataclass(slots=True)
class Measured:
    """One evaluation: its report, its episodes by task, and how long it took."""

    report: Report
    episodes: dict[str, Trajectory] = field(default_factory=dict)
    seconds: float = 0.0


def run_quickstart(path: Path, overrides: Sequence[str]) -> dict[str, Any] | None:
    """Run the quickstart in `path` and return its summary; None when it was interrupted.

    A run that was interrupted goes on; a finished one is moved aside, never overwritten.

    Raises:
        AgentRLError: A wrong setting, or another process trains the run in `path`.
    """
    config = load_config(CONFIG, overrides)
    run = _open(path, config)
    started = time.monotonic()
    _say("1/4", f"how well does the base policy play? {config.evaluation.tasks} games")
    before = _measure(run, BASE)
    _say("", f"it solves {before.report.success.value:.0%}")
    _say("2/4", f"reinforcement learning: {config.updates} updates")
    if not train(config, run, build_parts(config, run.path)):
        return None
    _say("3/4", "the same games again, with the trained policy")
    after = _measure(run, None)
    _say("", f"it solves {after.report.success.value:.0%}")
    difference = compare(_evaluated(before), _evaluated(after))
    rows = read_metrics(run.metrics_file)
    summary = _summary(config, (before, after), difference, rows, time.monotonic() - started)
    (run.path / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    _say("4/4", "what happened")
    _show(run, (before, after), rows, summary)
    return summary


def _open(path: Path, config: Config) -> RunDirectory:
    if (path / "config.yaml").is_file():
        run = RunDirectory.open(path)
        if run.config() == config and not (path / "summary.json").exists():
            _say("", f"going on with {path}")
            return run
        aside = next(p for n in range(1, 10_000) if not (p := Path(f"{path}-{n}")).exists())
        with RunDirectory(path).alone():  # not from under a process that trains it
            path.rename(aside)
        _say("", f"the earlier run was moved to {aside}")
    return RunDirectory.create(path, config)


def _measure(run: RunDirectory, step: str | None) -> Measured:
    episodes: dict[str, Trajectory] = {}

    def keep(progress: EvaluationProgress) -> None:
        episodes[progress.trajectory.task_id] = progress.trajectory

    started = time.monotonic()
    report = evaluate_target(find_run(run.path, step=step), on_progress=keep)
    return Measured(report, episodes, time.monotonic() - started)


def _evaluated(measured: Measured) -> Evaluated:
    path = measured.report.results
    assert path is not None
    return Evaluated(path, read_results(path))


def _summary(
    config: Config,
    measured: tuple[Measured, Measured],
    comparison: Comparison,
    rows: Sequence[dict[str, Any]],
    total: float,
) -> dict[str, Any]:
    before, after = measured
    phases = {name: sum(row[f"seconds_{name}"] for row in rows) for name in PHASES}
    evaluation = before.seconds + after.seconds
    known = evaluation + sum(phases.values())
    # What is left over is loading, checkpoints and logging. A run that went on took longer than
    # this process.
    rest = max(total - known, 0.0)
    seconds = {**phases, "evaluation": evaluation, "other": rest, "total": known + rest}
    return {
        "warm_start": _side(before),
        "final": _side(after),
        "difference": comparison.success.value,
        "difference_interval": [comparison.success.low, comparison.success.high],
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "env_steps": int(sum(row["env_steps"] for row in rows)),
        "seed": config.seed,
        "environment": {"name": config.env.name, "options": config.env.options},
        "policy": config.policy.model,
        "updates": config.updates,
    }


def _side(measured: Measured) -> dict[str, Any]:
    success = measured.report.success
    return {
        "success": success.value,
        "interval": [success.low, success.high],
        "games": measured.report.scored,
    }


def _show(
    run: RunDirectory,
    measured: tuple[Measured, Measured],
    rows: Sequence[dict[str, Any]],
    summary: dict[str, Any],
) -> None:
    curve = [row["success"] for row in rows]
    estimates = [m.report.success for m in measured]
    moments = ((0, "before"), (len(curve), "after"))
    points = [
        HeldOutPoint(update, e.value, e.low, e.high, f"held-out games, {when}")
        for (update, when), e in zip(moments, estimates, strict=True)
    ]
    options = ", ".join(f"{k} {v}" for k, v in summary["environment"]["options"].items())
    title = f"{summary['environment']['name']} ({options}), seed {summary['seed']}"
    picture = run.curve_file
    save_curves(picture, [Curve("success", curve, points)], title=title)
    print(f"\nsuccess of training episodes, update by update\n{terminal_curve(curve)}")
    _show_game(measured)
    _show_figures(summary)
    print(
        f"""
learning curve   {picture}
summary          {run.path / "summary.json"}
every episode    {run.trajectories}

what to run next
  agentrl play alfworld                       play such a game yourself
  agentrl eval {run.path} --attempts 4      several attempts per game, pass@k
  agentrl train quickstart credit=[rloo]      another credit method
  tensorboard --logdir {run.path}           all curves"""
    )


def _show_figures(summary: dict[str, Any]) -> None:
    for name in ("warm_start", "final"):
        side = summary[name]
        low, high = side["interval"]
        label = name.replace("_", " ")
        print(f"{label:<12} {side['success']:.3f}  (95%: {low:.3f} to {high:.3f})", end="")
        print(f"  {side['games']} games never seen in training")
    low, high = summary["difference_interval"]
    print(
        f"{'difference':<12} {summary['difference']:+.3f}  (95%: {low:+.3f} to {high:+.3f}, paired)"
    )
    seconds = dict(summary["seconds"])
    total = seconds.pop("total")
    parts = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    print(f"{'time':<12} {total:.0f} s: {parts}")


def _show_game(measured: tuple[Measured, Measured]) -> None:
    """Print one game that was lost before and won after, side by side."""
    before, after = measured
    turned = [
        task
        for task, episode in after.episodes.items()
        if episode.success and task in before.episodes and not before.episodes[task].success
    ]
    if not turned:
        return
    task = min(turned, key=lambda name: len(after.episodes[name].turns))
    left, right = before.episodes[task], after.episodes[task]
    print(f"\none game, {task}\n{left.turns[0].observation}\n")
    print(f"{'before: ' + left.outcome.value:<{_COLUMN}}after: {right.outcome.value}")
    for index in range(min(max(len(left.turns), len(right.turns)), 12)):
        print(f"{_cell(left, index):<{_COLUMN}}{_cell(right, index)}".rstrip())
    print()


def _cell(episode: Trajectory, index: int) -> str:
    if index >= len(episode.turns):
        return ""
    turn = episode.turns[index]
    text = f"> {turn.action}" + ("" if turn.valid else "   (nothing happens)")
    return text if len(text) < _COLUMN else text[: _COLUMN - 2] + "…"


def _say(step: str, text: str) -> None:
    print(f"\n[{step}] {text}" if step else f"      {text}", flush=True)
