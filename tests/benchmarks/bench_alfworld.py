"""Speed and memory of ALFWorld's native engine beside the original engine, in one run.

Both play the same games with the same random commands, admissible commands listed at every step:
official games where `AGENTRL_DATA` has them, else generated ones of full size.

    python tests/benchmarks/bench_alfworld.py
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from agentrl.environments.alfworld import AlfWorld, Engine
from agentrl.environments.alfworld.official import official
from agentrl.environments.alfworld.tasks import generated_game
from agentrl.errors import MissingExtraError, TaskError

ROUNDS = 5
STEPS = 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=140, help="games for the native engine")
    parser.add_argument("--stock-games", type=int, default=3, help="games for the original")
    parser.add_argument("--episodes", type=int, default=10_000, help="episodes for the memory")
    options = parser.parse_args()
    source, split, seconds = load_split()
    env = AlfWorld(source=source, split=split, max_turns=STEPS)
    ids = [
        env.tasks.ids(split)[index] for index in range(min(options.games, env.tasks.size(split)))
    ]
    print(f"{len(ids)} {source} games of {split!r}, {STEPS} random steps each")
    print(f"  read the split, once in a process        {1e3 * seconds:10.1f} ms")
    ours = {"memory": memory_per_environment(source, split, ids)}
    forget(split)
    ours |= measure_resets(env, ids)
    ours |= measure_steps(env, ids)
    print(f"  memory of a live environment             {ours['memory'] / 1024:10.1f} KiB")
    measure_generated()
    measure_growth(source, "train", options.episodes)
    try:
        theirs = measure_stock(source, split, ids[: options.stock_games])
    except MissingExtraError as error:
        print(f"\noriginal engine: not measured, {error}")
        return
    print("\nratio, original to native")
    print(f"  reset, game at hand {theirs['warm'] / ours['warm']:12,.0f} times the time")
    print(f"  reset, game new     {theirs['cold'] / ours['cold']:12,.0f} times the time")
    print(f"  step                {theirs['step'] / ours['step']:12,.0f} times the time")
    print(f"  live environment    {theirs['memory'] / ours['memory']:12,.0f} times the memory")


def load_split() -> tuple[str, str, float]:
    """Return source and split to play, and how long reading the split took."""
    start = time.perf_counter()
    try:
        len(official().splits["valid_seen"])
    except TaskError as error:
        print(f"generated games, because {error}\n")
        return "generated", "test", 0.0
    return "official", "valid_seen", time.perf_counter() - start


def measure_resets(env: AlfWorld, ids: list[str]) -> dict[str, float]:
    """Reset to games never compiled before, then to compiled ones; medians in seconds."""
    figures = {"cold": median_reset(env, ids), "warm": median_reset(env, ids * ROUNDS)}
    print(f"  reset p50, game new (compiled for it)    {1e3 * figures['cold']:10.3f} ms")
    print(f"  reset p50, game at hand                  {1e3 * figures['warm']:10.3f} ms")
    return figures


def median_reset(env: AlfWorld, ids: list[str]) -> float:
    """Return the median time of a reset, in seconds."""
    return statistics.median(
        timed(lambda task=task: env.reset(options={"task": task})) for task in ids
    )


def timed(work: Callable[[], object]) -> float:
    """Return how long a call takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_steps(env: AlfWorld, ids: list[str]) -> dict[str, float]:
    """Measure steps of the engine with commands listed, and of the environment with all of info."""
    games = [env.tasks.get(task).data for task in ids]
    routes = [draw_route(Engine(game), seed) for seed, game in enumerate(games)]
    number = sum(map(len, routes))

    def engine_steps() -> None:
        for game, route in zip(games, routes, strict=True):
            engine = Engine(game)
            for command in route:
                engine.step(command)
                engine.admissible()

    def environment_steps() -> float:
        seconds = 0.0
        for task, route in zip(ids, routes, strict=True):
            env.reset(options={"task": task})
            start = time.perf_counter()
            for command in route:
                if env.step(command)[2]:
                    env.reset(options={"task": task})
            seconds += time.perf_counter() - start
        return seconds

    step = statistics.median(timed(engine_steps) for _ in range(ROUNDS)) / number
    whole = statistics.median(environment_steps() for _ in range(ROUNDS)) / number
    print(f"  engine, commands listed                  {1 / step:10,.0f} steps/s")
    print(f"  environment, all of info                 {1 / whole:10,.0f} steps/s")
    return {"step": step, "environment": whole}


def draw_route(engine: Engine, seed: int) -> list[str]:
    """Return random admissible commands, half of them not a mere walk."""
    rng, route = np.random.default_rng(seed), list[str]()
    for _ in range(STEPS):
        commands = engine.admissible()
        other = [command for command in commands if not command.startswith("go to ")]
        choice = other if rng.random() < 0.5 else commands
        route.append(choice[int(rng.integers(len(choice)))])
        engine.step(route[-1])
    return route


def memory_per_environment(source: str, split: str, ids: list[str]) -> float:
    """Return what one more live environment, amid a game of its own, takes; in bytes."""
    forget(split)
    with traced() as used:
        environments = []
        for task in ids:
            env = AlfWorld(source=source, split=split, expert="search")
            env.reset(options={"task": task})
            for command in draw_route(Engine(env.engine.game), 0)[:10]:
                env.step(command)
            environments.append(env)
        return used() / len(environments)


def forget(split: str) -> None:
    """Throw away all compiled games."""
    generated_game.cache_clear()
    if split in official().splits:
        official().splits[split].game.cache_clear()


@contextmanager
def traced() -> Iterator[Callable[[], float]]:
    """Count the bytes that Python allocates."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def used() -> float:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    try:
        yield used
    finally:
        tracemalloc.stop()


def measure_generated() -> None:
    """Reset to generated games of full size, each a new one."""
    env = AlfWorld()
    ids = [f"train/{index}" for index in range(1000)]
    print(f"  reset p50, new generated game            {1e3 * median_reset(env, ids):10.3f} ms")


def measure_growth(source: str, split: str, episodes: int) -> None:
    """Play many episodes in this process; print what it holds resident on the way."""
    env = AlfWorld(source=source, split=split, expert="search")
    sizes: dict[int, float] = {}
    marks = {episodes // 10, episodes // 2, episodes}
    for number in range(1, episodes + 1):
        _, info = env.reset(seed=number)
        rng, done = np.random.default_rng(number), False
        while not done:
            commands = info["admissible_actions"]
            is_random = rng.random() < 0.3
            action = (
                commands[int(rng.integers(len(commands)))] if is_random else info["expert_action"]
            )
            _, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        if number in marks:
            sizes[number] = resident()
    shown = ", ".join(f"{size / 2**20:.1f} MiB after {count:,}" for count, size in sizes.items())
    print(f"  resident, episodes one after the other   {shown}")


def measure_stock(source: str, split: str, ids: list[str]) -> dict[str, float]:
    """Measure the original engine on the same games: times in seconds, memory in bytes."""
    envs = [AlfWorld(source=source, split=split, backend="textworld") for _ in ids]
    envs[0].reset(options={"task": ids[0]})
    envs[0].close()
    before, cold, warm, seconds, steps = resident(), [], [], 0.0, 0
    for seed, (env, task) in enumerate(zip(envs, ids, strict=True)):
        cold.append(timed(lambda env=env, task=task: env.reset(options={"task": task})))
        route = draw_route(Engine(env.engine.game), seed)
        seconds += timed(lambda env=env, route=route: [env.player.step(c) for c in route])
        steps += len(route)
        warm.append(timed(lambda env=env, task=task: env.reset(options={"task": task})))
    figures = {
        "cold": statistics.median(cold),
        "warm": statistics.median(warm),
        "step": seconds / steps,
        "memory": (resident() - before) / (len(envs) - 1),
    }
    print("\noriginal engine, the same games and commands")
    print(f"  reset p50, game new                      {1e3 * figures['cold']:10.0f} ms")
    print(f"  reset p50, game at hand                  {1e3 * figures['warm']:10.0f} ms")
    print(f"  engine, commands listed                  {1 / figures['step']:10,.0f} steps/s")
    print(f"  memory of a live environment             {figures['memory'] / 2**20:10.1f} MiB")
    return figures


def resident() -> float:
    """Return the bytes that this process holds in memory now."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
