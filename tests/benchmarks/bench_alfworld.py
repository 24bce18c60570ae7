"""Speed and memory of the native ALFWorld engine, beside the original engine where installed.

Both play the same full-size games with the same random commands, admissible commands listed at
every step, in one process.

    python tests/benchmarks/bench_alfworld.py
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from agentrl.environments.alfworld import AlfWorld, Engine, Game, generate, split_game
from agentrl.environments.alfworld.export import to_game_file, to_pddl
from agentrl.environments.alfworld.levels import FULL
from agentrl.environments.alfworld.original import Original, stock_rules
from agentrl.environments.alfworld.parse import parse_game
from agentrl.errors import MissingExtraError

ROUNDS = 5


def main() -> None:
    """Measure both engines and print the ratios."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--games", type=int, default=200, help="games for the native engine")
    arguments.add_argument("--stock-games", type=int, default=3, help="games for the original")
    arguments.add_argument("--steps", type=int, default=50, help="steps in each game")
    options = arguments.parse_args()
    games = [generate(FULL, seed) for seed in range(options.games)]
    routes = [draw_route(game, seed, options.steps) for seed, game in enumerate(games)]
    ours = measure_native(games, routes)
    measure_environment(options.games, options.steps)
    try:
        number = options.stock_games
        theirs = measure_original(games[:number], routes[:number])
    except MissingExtraError as error:
        print(f"\noriginal engine: not measured, {error}")
        return
    print("\nratio, original to native")
    print(f"  reset            {theirs['reset'] / ours['reset']:10,.0f} times the time")
    print(f"  step             {theirs['step'] / ours['step']:10,.0f} times the time")
    print(f"  live environment {theirs['memory'] / ours['memory']:10,.0f} times the memory")


def draw_route(game: Game, seed: int, steps: int) -> list[str]:
    """Return random admissible commands, half of them not a mere walk."""
    engine, rng, route = Engine(game), np.random.default_rng(seed), list[str]()
    for _ in range(steps):
        commands = engine.admissible()
        other = [command for command in commands if not command.startswith("go to ")]
        choice = other if rng.random() < 0.5 else commands
        route.append(choice[int(rng.integers(len(choice)))])
        engine.step(route[-1])
    return route


def best_of(work: Callable[[], object]) -> float:
    """Return the median time of a few rounds, in seconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_native(games: list[Game], routes: list[list[str]]) -> dict[str, float]:
    """Measure the native engine; times in seconds, memory in bytes."""
    number, steps = len(games), sum(map(len, routes))

    def reset() -> None:
        for game in games:
            engine = Engine(game)
            engine.introduction()
            engine.admissible()

    def play() -> None:
        for game, route in zip(games, routes, strict=True):
            engine = Engine(game)
            for command in route:
                engine.step(command)
                engine.admissible()

    texts = [(to_pddl(game), game.goal.sentence) for game in games]
    seeds = range(number)
    figures = {
        "generate": best_of(lambda: [split_game(FULL, "train", seed) for seed in seeds]) / number,
        "parse": best_of(lambda: [parse_game(*text) for text in texts]) / number,
        "reset": best_of(reset) / number,
        "step": best_of(play) / steps,
        "memory": native_memory(number),
    }
    print("native engine, full rooms")
    print(f"  make a game          {1e3 * figures['generate']:8.3f} ms  (training split)")
    print(f"  read a game's PDDL   {1e3 * figures['parse']:8.3f} ms")
    print(f"  reset, game at hand  {1e3 * figures['reset']:8.3f} ms")
    print(f"  steps                {1 / figures['step']:8,.0f} per second, commands listed")
    print(f"  live environment     {figures['memory'] / 1024:8.1f} KiB, its own game included")
    return figures


def native_memory(number: int) -> float:
    """Return the memory of one live engine that plays a game of its own, in bytes."""
    gc.collect()
    tracemalloc.start()
    engines = [Engine(generate(FULL, 10_000 + seed)) for seed in range(number)]
    for engine in engines:
        for command in draw_route(engine.game, 0, 10):
            engine.step(command)
            engine.admissible()
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / number


def measure_environment(number: int, steps: int) -> None:
    """Measure `AlfWorld` as a trainer uses it: generated games, all of info filled in."""
    env = AlfWorld(max_turns=steps)
    resets, played, start = 0.0, 0, time.perf_counter()
    for seed in range(number):
        before = time.perf_counter()
        _, info = env.reset(options={"task": f"train/{seed}"})
        resets += time.perf_counter() - before
        done, rng = False, np.random.default_rng(seed)
        while not done:
            commands = info["admissible_actions"]
            action = commands[int(rng.integers(len(commands)))]
            _, _, terminated, truncated, info = env.step(action)
            done, played = terminated or truncated, played + 1
    seconds = time.perf_counter() - start - resets
    print("\nenvironment, with commands and state key in info")
    print(f"  reset with a new game{1e3 * resets / number:8.3f} ms")
    print(f"  steps                {played / seconds:8,.0f} per second")


def measure_original(games: list[Game], routes: list[list[str]]) -> dict[str, float]:
    """Measure the original engine on the same games and commands."""
    rules = stock_rules()
    files = [to_game_file(game, *rules) for game in games]
    before = resident_memory()
    engines = [Original() for _ in games]
    resets, start = [], 0.0
    for engine, file in zip(engines, files, strict=True):
        start = time.perf_counter()
        engine.reset(file)
        resets.append(time.perf_counter() - start)
    memory = (resident_memory() - before) / len(engines)
    start = time.perf_counter()
    for engine, route in zip(engines, routes, strict=True):
        for command in route:
            engine.step(command)
    step = (time.perf_counter() - start) / sum(map(len, routes))
    figures = {"reset": statistics.median(resets), "step": step, "memory": memory}
    print("\noriginal engine, the same games and commands")
    print(f"  load and reset       {1e3 * figures['reset']:8.0f} ms")
    print(f"  steps                {1 / step:8,.0f} per second, commands listed")
    print(f"  live environment     {memory / 2**20:8.1f} MiB")
    return figures


def resident_memory() -> float:
    """Return the most memory the process has had resident, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
