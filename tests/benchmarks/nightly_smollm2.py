"""SmolLM2-135M on ALFWorld with a real vLLM server, end to end: what `make nightly` runs.

Trains `configs/smollm2.yaml` and prints, for each update, what the drift meter read and where the
time went, as Markdown; then the ledger and the share of the time that went into weights. It fails
where the ledger is not even, no gap was read, or weights take 2% of the time or more.

    python tests/benchmarks/nightly_smollm2.py --run runs/nightly [section.key=value …]
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentrl.config import load_config
from agentrl.monitor.metrics import read_metrics
from agentrl.parts import build_parts
from agentrl.run import RunDirectory
from agentrl.storage.ledger import balance
from agentrl.trainer import default_run_directory, train

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "smollm2.yaml"
MOST_SYNC = 0.02
DRIFT = {
    "gap mean": ("drift/gap_mean", ".1e"),
    "gap p99": ("drift/gap_p99", ".1e"),
    "ESS": ("drift/ess", ".4f"),
    "ESS episodes": ("drift/ess_episodes", ".3f"),
    "prefix breaks": ("drift/prefix_breaks", ".1%"),
    "truncated": ("drift/truncated", ".1%"),
}
RUN = {
    "success": ("success", ".0%"),
    "invalid actions": ("invalid_actions", ".0%"),
    "turns": ("turns_per_episode", ".1f"),
}
PHASES = ("rollout", "signals", "credit", "learning", "settling", "sync")

Row = dict[str, float]


def main(words: Sequence[str]) -> int:
    """Train, print the tables and return the exit code."""
    parser = argparse.ArgumentParser(description="Train SmolLM2-135M with a real vLLM server.")
    parser.add_argument("--run", type=Path, help="the run directory")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    given = parser.parse_args(words)
    config = load_config(CONFIG, given.overrides)
    path = given.run or default_run_directory(config)
    parts = build_parts(config, path)
    run = RunDirectory.create(path, config)
    if not train(config, run, parts):
        print(f"the run was interrupted; go on with: agentrl resume {path}", file=sys.stderr)
        return 1
    rows = read_metrics(run.metrics_file)
    print("\n".join([*table(rows), "", *figures_by_turn(rows), ""]))
    found = balance(run.ledger_file)
    print(f"ledger: {dict(found.fates)}, {'even' if found.is_even else 'NOT even'}")
    share = sync_share(rows)
    print(f"weights: {share:.2%} of the time (at most {MOST_SYNC:.0%})")
    gaps = [row["drift/gap_mean"] for row in rows if "drift/gap_mean" in row]
    is_sound = bool(gaps) and all(map(math.isfinite, gaps))
    return 0 if found.is_even and is_sound and share < MOST_SYNC else 1


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a Markdown table with a line per update."""
    columns = {**RUN, **DRIFT, **{f"{phase}, s": (f"seconds_{phase}", ".2f") for phase in PHASES}}
    yield f"| update | {' | '.join(columns)} | sync share |"
    yield "|---" * (len(columns) + 2) + "|"
    for row in rows:
        # Where nothing was learned nothing was metered.
        cells = [
            format(row[name], style) if name in row else "-" for name, style in columns.values()
        ]
        yield f"| {row['update']:.0f} | {' | '.join(cells)} | {sync_share([row]):.2%} |"


def figures_by_turn(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a Markdown table of the last update's gaps by the index of the turn."""
    prefix = "drift/gap_mean_turn/"
    turns = [name.removeprefix(prefix) for name in rows[-1] if name.startswith(prefix)]
    yield "| turn | gap mean | gap p99 |"
    yield "|---|---|---|"
    for turn in turns:
        mean, p99 = rows[-1][prefix + turn], rows[-1][f"drift/gap_p99_turn/{turn}"]
        yield f"| {turn} | {mean:.1e} | {p99:.1e} |"


def sync_share(rows: Sequence[Row]) -> float:
    """Return the share of updates' time that went into handing over weights."""
    total = sum(row[f"seconds_{phase}"] for row in rows for phase in PHASES)
    return sum(row["seconds_sync"] for row in rows) / total


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
