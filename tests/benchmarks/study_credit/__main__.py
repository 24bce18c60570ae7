"""What step-level credit does for learning: `grpo` alone and before each method, on two worlds.

    python tests/benchmarks/study_credit RUNS [--envs alfworld,searchqa] [--methods grpo,salt]
        [--seeds 5] [--jobs 2] [--images docs/images] [--report]

Every arm has the same policy, tasks, seeds, learning rate and number of episodes; a method has the
parameters that its paper published. Each run is an `agentrl train` of its own in RUNS, one core
each; finished ones are not repeated, cut-off ones go on where they were. Then, or with `--report`
at once, `RUNS/results.json`, the tables and the learning curves are made from what is there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from arms import CREDIT, WORLDS, Arm
from report import is_finished, report


def play(arm: Arm, runs: Path) -> bool:
    """Train one run to its end in a process of its own; return whether that worked."""
    run = runs / arm.folder
    run.parent.mkdir(parents=True, exist_ok=True)
    is_new = not (run / "config.yaml").exists()
    words = ["train", *arm.settings(), "--run", str(run)] if is_new else ["resume", str(run)]
    began = time.monotonic()
    with run.with_suffix(".log").open("a") as log:
        done = subprocess.run(
            [sys.executable, "-m", "agentrl", *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
    state = "done" if done.returncode == 0 else f"failed, see {run}.log"
    print(f"{arm.folder}: {state} after {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode == 0


def main() -> None:
    """Train what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--envs", default=",".join(WORLDS))
    parser.add_argument("--methods", default=",".join(CREDIT))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--images", type=Path, help="where the learning curves go; default: RUNS")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    worlds, methods = options.envs.split(","), options.methods.split(",")
    # Seed by seed, so that a study that is cut short has all methods.
    arms = [
        Arm(world, method, seed)
        for seed in range(options.seeds)
        for world in worlds
        for method in WORLDS[world].arms(methods)
    ]
    if not options.report:
        missing = [arm for arm in arms if not is_finished(options.runs / arm.folder)]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda arm: play(arm, options.runs), missing))
    report(options.runs, worlds, methods, options.images or options.runs)


if __name__ == "__main__":
    main()
