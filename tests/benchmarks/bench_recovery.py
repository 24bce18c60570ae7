"""A run whose vLLM server is killed again and again, at random moments.

    python tests/benchmarks/bench_recovery.py [--kills 20] [--updates 24] [--schedule async]

Trains the shipped policy on ALFWorld with a real vLLM server, by the command line, and meanwhile
hits the server in turn in four ways: the API server is killed; the engine's core is killed; its
worker is killed; its core is stopped, so that it hangs and is found out after `stall_seconds`. The
next blow falls at a random moment after the server is back. After the last one the run goes on to
its end. Then it must have all its updates, and its ledger must add up: every episode with one
fate, none trained on twice. Printed is a table of the times from each blow to the server's return.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import psutil

from agentrl.monitor.metrics import read_metrics
from agentrl.storage.ledger import balance

STALL_SECONDS = 30.0
"""The first requests of a server on a CPU compile kernels for longer than ten."""
BACK = re.compile(r"a vLLM server is back after (\d+) s")


@dataclass(frozen=True)
class Blow:
    """One way to hit a server."""

    name: str
    process: str
    """A part of the name or command of the process that is hit."""
    number: signal.Signals


BLOWS = (
    Blow("API server killed", "api_server", signal.SIGKILL),
    Blow("engine core killed", "EngineCore", signal.SIGKILL),
    Blow("worker killed", "Worker", signal.SIGKILL),
    Blow("engine core stopped", "EngineCore", signal.SIGSTOP),
)


class Run:
    """A training run in a process of its own, whose messages are read as they come."""

    def __init__(self, path: Path, schedule: str, updates: int) -> None:
        """Start it."""
        options = f"{{server: {{enforce_eager: true}}, stall_seconds: {STALL_SECONDS}}}"
        words = [
            "quickstart", "--run", str(path), "engine=vllm", f"engine.options={options}",
            f"updates={updates}", f"schedule={schedule}", "rollout.tasks=4", "rollout.group_size=4",
            "rollout.concurrency=16", "rollout.retries=4", "env.options.max_turns=10",
            "monitor.tensorboard=false", "checkpoint_every=4",
        ]  # fmt: skip
        self.messages: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agentrl", "train", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        self.metrics = path / "metrics.jsonl"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.messages.append(line.rstrip())

    @property
    def updates(self) -> int:
        """How many updates are done."""
        return len(read_metrics(self.metrics)) if self.metrics.exists() else 0

    @property
    def returns(self) -> int:
        """How often the server has come back."""
        return sum(bool(BACK.search(line)) for line in self.messages)

    def find(self, part: str) -> psutil.Process | None:
        """Return the server's process of a name."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                words = [process.name(), *process.cmdline()]
                if any(part in word for word in words) and "guard.py" not in " ".join(words):
                    return process
            except psutil.Error:
                continue
        return None


def strike(run: Run, blows: int, rng: random.Random) -> Iterator[tuple[str, float]]:
    """Hit the server so often; yield how, and how long it took to come back."""
    while run.updates < 1:
        require(run)
        time.sleep(0.2)
    for index in range(blows):
        time.sleep(rng.uniform(0.2, 6.0))
        blow = BLOWS[index % len(BLOWS)]
        victim = run.find(blow.process)
        while victim is None:
            require(run)
            time.sleep(0.1)
            victim = run.find(blow.process)
        before, begin = run.returns, time.monotonic()
        victim.send_signal(blow.number)
        while run.returns == before:
            require(run)
            time.sleep(0.05)
        yield blow.name, time.monotonic() - begin


def require(run: Run) -> None:
    """Raise where the run has ended too early."""
    if run.process.poll() is not None:
        raise SystemExit("the run has ended before the blows were spent:\n" + "\n".join(
            run.messages[-20:]
        ))  # fmt: skip


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--updates", type=int, default=24, help="enough to outlast the blows")
    parser.add_argument("--schedule", choices=["sync", "one_step_off", "async"], default="async")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        run = Run(path, options.schedule, options.updates)
        times: dict[str, list[float]] = {}
        print(f"{'':>4} {'blow':24} {'seconds to return':>18} {'updates so far':>15}", flush=True)
        blows = strike(run, options.kills, random.Random(options.seed))
        for number, (name, seconds) in enumerate(blows, 1):
            times.setdefault(name, []).append(seconds)
            print(f"{number:4d} {name:24} {seconds:18.1f} {run.updates:15d}", flush=True)
        run.process.wait()
        report(path, run, times, options.updates)


def report(path: Path, run: Run, times: dict[str, list[float]], updates: int) -> None:
    """Print what became of the run; fail where something was lost."""
    for name, seconds in times.items():
        print(f"{name:24} n={len(seconds)} median {statistics.median(seconds):.1f} s, "
              f"longest {max(seconds):.1f} s")  # fmt: skip
    done = [row["update"] for row in read_metrics(path / "metrics.jsonl")]
    found = balance(path / "ledger.jsonl")
    fates = ", ".join(f"{count} {fate}" for fate, count in sorted(found.fates.items()))
    print(f"exit code {run.process.returncode}; {len(done)} updates; ledger even: {found.is_even}")
    print(f"episodes: {found.begun} begun ({found.repeated} attempts repeated), {fates}")
    if run.process.returncode or done != list(range(1, updates + 1)) or not found.is_even:
        lines = ["the run is not whole:", *found.problems, *run.messages[-20:]]
        raise SystemExit("\n".join(lines))


if __name__ == "__main__":
    main()
