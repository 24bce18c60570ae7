"""Asynchronous against synchronous: the same updates under each schedule.

    python tests/benchmarks/bench_schedules.py [RUNS] [--engine vllm] [--updates 24] [--images DIR]

Measured: one run per schedule with the same configuration and seed, a process of its own each, on
this machine; finished runs in RUNS are not repeated. The clock runs from the first episode to the
last update; starting the server and the held-out evaluation afterwards are not counted. Engine and
learner share the machine's cores, so what one gains by not waiting the other loses.

Simulated: the same schedules with engine and learner on a device of its own each, as fast as here,
from the durations that the synchronous run measured (`schedule_timeline.py` says how). The
simulation of the synchronous run is shown beside the run itself, as a check of it.

Prints Markdown tables; draws the learning curves (`schedules.png`) and the simulated timelines
(`schedules-timeline.png`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schedule_figures import Learned, draw_curves, draw_timelines
from schedule_timeline import Measured, Played, Timeline, fit_pace, simulate

from agentrl import storage
from agentrl.api import load_run
from agentrl.evaluation.statistics import Estimate
from agentrl.monitor.metrics import read_metrics
from agentrl.rollout.schedule import Schedule
from agentrl.run import RunDirectory

KINDS = ("sync", "one_step_off", "async")
LEARNING = ("signals", "credit", "learning")
ENGINES = {
    "vllm": ["engine=vllm", "engine.max_batch=64", "engine.options.context_length=2048"],
    "transformers": ["engine=transformers"],
}


def settings(options: argparse.Namespace, kind: str) -> list[str]:
    """Return the run's configuration in the words of the command line."""
    return [
        "quickstart",
        f"schedule={kind}",
        f"updates={options.updates}",
        *ENGINES[options.engine],
        "rollout.tasks=8",
        "rollout.group_size=8",
        "rollout.concurrency=64",
        f"evaluation.tasks={options.tasks}",
        "checkpoint_every=1000",
    ]


def train(options: argparse.Namespace, kind: str) -> RunDirectory:
    """Return a finished run, trained now where it is not there."""
    path = options.runs / kind
    if len(read_metrics(RunDirectory(path).metrics_file)) < options.updates:
        print(f"training: {kind}", flush=True)
        words = ["train", *settings(options, kind), "--run", str(path)]
        with (options.runs / f"{kind}.log").open("w") as log:
            subprocess.run(
                [sys.executable, "-m", "agentrl", *words], stdout=log, stderr=log, check=True
            )
    return RunDirectory.open(path)


@dataclass(frozen=True, slots=True)
class Record:
    """A finished run as its files tell it."""

    rows: list[dict[str, Any]]
    """Figures of each update."""
    held_out: Estimate
    """Success of the last policy."""
    finished: list[float]
    """Seconds from the first episode to the end of each update."""
    episodes: dict[str, Played]
    tokens: dict[str, dict[str, int]]
    """Of each group's episodes, in the order of the plan."""

    @property
    def seconds(self) -> float:
        """Until the last update."""
        return self.finished[-1]

    def spent(self, *phases: str) -> list[float]:
        """Return the seconds of some phases together, for each update."""
        return [sum(row[f"seconds_{phase}"] for phase in phases) for row in self.rows]


def read(run: RunDirectory) -> Record:
    """Return what a run's files tell."""
    rows = read_metrics(run.metrics_file)
    tokens: dict[str, dict[str, int]] = {}
    for row in rows:
        for episode in storage.read(run.trajectory_file(row["update"])):
            count = sum(len(turn.response_ids) for turn in episode.turns)
            tokens.setdefault(episode.group, {})[episode.id] = count
    counts = {name: count for group in tokens.values() for name, count in group.items()}
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    trained: list[float] = []
    for line in map(json.loads, run.ledger_file.read_text().splitlines()):
        if line["event"] == "trained":
            trained.append(line["time"])
        elif line["event"] in ("begun", "ended"):
            (begun if line["event"] == "begun" else ended)[line["episode"]] = line["time"]
    start = min(begun.values())
    return Record(
        rows,
        load_run(run.path).evaluate().success,
        [moment - start for moment in trained],
        {name: Played(begun[name], ended[name], count) for name, count in counts.items()},
        dict(sorted(tokens.items())),
    )


def measured(record: Record, slots: int) -> Measured:
    """Return what the simulation takes from the synchronous run."""
    return Measured(
        [list(group.values()) for group in record.tokens.values()],
        record.spent(*LEARNING),
        record.spent("sync"),
        slots,
        fit_pace(list(record.episodes.values())),
    )


def table(columns: Mapping[str, str], rows: list[dict[str, Any]]) -> None:
    """Print a Markdown table; columns are names and format specifications."""
    print("\n| " + " | ".join(columns) + " |")
    print("|---" + "|---:" * (len(columns) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(format(row[name], style) for name, style in columns.items()) + " |")


def show_measured(records: Mapping[str, Record]) -> None:
    """Print what the runs took and what they learned."""
    rows = []
    for kind, record in records.items():
        out = record.held_out
        late = [row["success"] for row in record.rows[-max(1, len(record.rows) // 4) :]]
        rows.append(
            {
                "schedule": f"`{kind}`",
                "seconds": record.seconds,
                "against sync": records["sync"].seconds / record.seconds,
                "rollout": sum(record.spent("rollout")),
                "learning": sum(record.spent(*LEARNING)),
                "settling": sum(record.spent("settling")),
                "sync": sum(record.spent("sync")),
                "staleness, mean": statistics.mean(r["staleness/mean"] for r in record.rows),
                "most": max(row["staleness/max"] for row in record.rows),
                "success, last quarter": statistics.mean(late),
                "held out (95%)": f"{out.value:.2f} ({out.low:.2f} to {out.high:.2f})",
            }
        )
    print("\nMeasured, engine and learner on the same cores:")
    styles = ["", ".0f", ".2f", ".0f", ".0f", ".0f", ".1f", ".2f", ".0f", ".2f", ""]
    table(dict(zip(rows[0], styles, strict=True)), rows)


def show_simulated(timelines: Mapping[str, Timeline], record: Record, source: Measured) -> None:
    """Print what the schedules would take on two devices."""
    rows = [
        {
            "schedule": f"`{kind}`",
            "seconds": timeline.seconds,
            "against sync": timelines["sync"].seconds / timeline.seconds,
            "engine works": timeline.busy(timeline.engine),
            "learner works": timeline.busy(timeline.learner),
            "staleness, mean": statistics.mean(timeline.staleness),
            "most": max(timeline.staleness),
        }
        for kind, timeline in timelines.items()
    ]
    pace = source.pace
    print(
        f"\nSimulated, a device each; a token takes {1000 * pace.fixed:.1f} ms and "
        f"{1000 * pace.each:.2f} ms for every episode in flight.\nThe synchronous run is simulated "
        f"with {timelines['sync'].seconds:.0f} s; it took {record.seconds:.0f} s."
    )
    table(dict(zip(rows[0], ["", ".0f", ".2f", ".0%", ".0%", ".2f", ".0f"], strict=True)), rows)


def main() -> None:
    """Train what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs/schedules"))
    parser.add_argument("--engine", choices=sorted(ENGINES), default="vllm")
    parser.add_argument("--updates", type=int, default=24)
    parser.add_argument("--tasks", type=int, default=100, help="held-out games")
    parser.add_argument("--staleness", type=int, default=4, help="schedule.max_staleness")
    parser.add_argument("--images", type=Path, help="where the figures go; default: RUNS")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    runs = {kind: train(options, kind) for kind in KINDS}
    records = {kind: read(run) for kind, run in runs.items()}
    show_measured(records)
    config = runs["sync"].config()
    source = measured(records["sync"], config.rollout.concurrency)
    timelines = {
        kind: simulate(source, Schedule.of(run.config().schedule)) for kind, run in runs.items()
    }
    show_simulated(timelines, records["sync"], source)
    images = options.images or options.runs
    learned = {
        kind: Learned([row["success"] for row in record.rows], record.finished)
        for kind, record in records.items()
    }
    draw_curves(images / "schedules.png", learned)
    draw_timelines(images / "schedules-timeline.png", timelines)


if __name__ == "__main__":
    main()
