"""What it costs to keep the reasons of credit: 128 episodes of 20 turns under [grpo, salt].

CPU time of one process, medians of alternating rounds; the machine may be busy with other work.

    python tests/benchmarks/bench_explain.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agentrl.batch import Batch
from agentrl.credit import Stored, assign, credit_records, explain, write_credit
from agentrl.credit.records import encode_credit

GROUPS, SIZE, TURNS, ROUNDS = 16, 8, 20, 15
METHODS = ["grpo", "salt"]


def episodes() -> list[dict[str, object]]:
    """Return episodes that share about half of their first turns."""
    rng = np.random.default_rng(0)
    return [
        {
            "group": f"000010/{group:03d}",
            "id": f"000010/{group:03d}/{index}",
            "outcome": float(rng.random() < 0.4),
            "turns": [
                {
                    "state_key": f"room {rng.integers(3)}",
                    "action": f"go to shelf {rng.integers(1 + turn // 3)}",
                    "observation": f"You arrive. On it you see a vase {rng.integers(2)} and a mug.",
                    "tokens": 6,
                }
                for turn in range(TURNS)
            ],
        }
        for group in range(GROUPS)
        for index in range(SIZE)
    ]


def milliseconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    started = time.process_time()
    work()
    return 1e3 * (time.process_time() - started)


def main() -> None:
    """Print medians."""
    records = episodes()
    batch: Batch = Stored.from_records(records).batch
    explained = explain(batch, METHODS)
    folder = Path(tempfile.mkdtemp())
    path = folder / "update-000010.jsonl.zst"
    work: dict[str, Callable[[], object]] = {
        "assign alone": lambda: assign(batch, METHODS),
        "explain (advantages and reasons)": lambda: explain(batch, METHODS),
        "write_credit (.jsonl.zst)": lambda: write_credit(path, credit_records(batch, explained)),
        "read the plain form, in memory": lambda: Stored.from_records(records),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, call in work.items():
            seconds[name].append(milliseconds(call))
    print(f"{batch.num_trajectories} episodes, {batch.num_turns} turns, credit {METHODS}")
    for name, times in seconds.items():
        print(f"{name:34} {statistics.median(times):7.1f} ms")
    plain = sum(len(encode_credit(record)) + 1 for record in credit_records(batch, explained))
    print(f"on disk {path.stat().st_size / 1024:.0f} KiB, {plain / 1024:.0f} KiB as plain JSON")


if __name__ == "__main__":
    main()
