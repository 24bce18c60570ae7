"""Speed and memory of TextWorld: compiling alone and in parallel, reset, steps, many episodes.

python tests/benchmarks/bench_textworld.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import agentrl
from agentrl.environments.textworld import prepare

SETTINGS: dict[str, dict[str, Any]] = {
    "treasure_hunter": {"level": 5},
    "coin_collector": {"level": 5},
    "cooking": {"recipe": 2, "take": 2, "go": 6, "cook": True, "cut": True},
    "simple": {},
    "custom": {},
}


def main() -> None:
    """Measure in a cache of its own and print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--games", type=int, default=8, help="games of each challenge")
    arguments.add_argument("--workers", type=int, default=2, help="builders beside each other")
    arguments.add_argument("--episodes", type=int, default=200, help="episodes of the leak check")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AGENTRL_CACHE"] = folder
        for challenge, difficulty in SETTINGS.items():
            measure(challenge, difficulty, options.games, options.workers)
        measure_leaks(options.games, options.episodes)


def measure(challenge: str, difficulty: dict[str, Any], games: int, workers: int) -> None:
    """Print what compiling and playing a challenge costs, and how often each player wins."""
    serial = compile_seconds(challenge, difficulty, 0, games, 1)
    parallel = compile_seconds(challenge, difficulty, games, games, workers)
    print(f"\n{challenge} {difficulty}")
    print(f"  make a game     {serial:6.2f} s alone, {parallel:6.2f} s with {workers} builders")
    env = agentrl.make("textworld", challenge=challenge, expert="planner", **difficulty)
    print(f"  ratio           {serial / parallel:6.2f}")
    resets, steps, lengths, words, wins = play(env, range(games), "planner")
    plain = agentrl.make("textworld", challenge=challenge, **difficulty)
    resets, steps, lengths, words, lucky = play(plain, range(games), "random")
    print(f"  reset           {1e3 * statistics.median(resets):6.1f} ms")
    print(f"  steps           {1 / statistics.mean(steps):6.0f} per second, commands listed")
    print(f"  success         {wins:6.2f} planner, {lucky:.2f} random within 50 turns")
    print(f"  observation     {statistics.mean(lengths):6.0f} characters, {max(lengths)} at most")
    print(f"  vocabulary      {len(words):6d} words in these episodes")
    env.close()
    plain.close()


def compile_seconds(
    challenge: str, difficulty: dict[str, Any], start: int, games: int, workers: int
) -> float:
    """Return the seconds a game, starting the builders included."""
    begun = time.perf_counter()
    prepare(challenge, start=start, count=games, workers=workers, **difficulty)
    return (time.perf_counter() - begun) / games


def play(
    env: agentrl.TextEnv, indices: range, player: str
) -> tuple[list[float], list[float], list[int], set[str], float]:
    """Return seconds of resets and steps, lengths of texts, words seen, and the share of wins."""
    resets, steps, lengths, words, wins = list[float](), list[float](), list[int](), set[str](), 0
    for index in indices:
        rng = np.random.default_rng(index)
        begun = time.perf_counter()
        text, info = env.reset(options={"task": f"train/{index}"})
        resets.append(time.perf_counter() - begun)
        done = False
        while not done:
            lengths.append(len(text))
            words.update(text.lower().split())
            actions = info["admissible_actions"]
            pick = actions[int(rng.integers(len(actions)))]
            action = info["expert_action"] if player == "planner" else pick
            begun = time.perf_counter()
            text, _, terminated, truncated, info = env.step(action)
            steps.append(time.perf_counter() - begun)
            done = terminated or truncated
        wins += info["success"]
    return resets, steps, lengths, words, wins / len(indices)


def measure_leaks(games: int, episodes: int) -> None:
    """Print memory and open files of one process over many episodes."""
    env = agentrl.make("textworld", **SETTINGS["treasure_hunter"])
    print("\nmany episodes in one process")
    for rounds in range(3):
        for index in range(episodes if rounds else games):
            play(env, range(index % games, index % games + 1), "random")
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        size = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        files = len(os.listdir("/proc/self/fd"))
        print(f"  round {rounds}         {size:6.1f} MiB resident, {files} files open")
    env.close()


if __name__ == "__main__":
    main()
