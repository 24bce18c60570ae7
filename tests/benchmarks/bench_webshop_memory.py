"""Memory of one and of 64 WebShop environments that share one shop.

    AGENTRL_DATA=... python tests/benchmarks/bench_webshop_memory.py [CATALOGUE] [--workers N]

CATALOGUE is a folder with a catalogue's files (default: the small set); a large one is made by
`bench_webshop_search.py --keep FOLDER`, and lies with its cache in that FOLDER. Environments are
run as the framework runs them: in the process that collects episodes (the default for WebShop), and
in worker processes, which it starts on request. Either way the same episodes of the search expert
are played by one environment and by 64, all of which are in the middle of a last one when memory is
taken: the proportional set size, which counts a page that n processes share as one n-th in each.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from agentrl.environments.webshop.files import data_folder
from agentrl.environments.webshop.tasks import webshop_tasks
from agentrl.rollout.environments import Environment, EnvSpec, LocalPool
from agentrl.rollout.worker_pool import WorkerPool

MANY = 64
EPISODES = 256
FIELDS = ("Pss", "Private_Dirty")


def memory(process: int | str) -> dict[str, float]:
    """Return proportional and private written memory of a process, in MB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    fields = {name.rstrip(":"): int(size) / 1024 for name, size, *_ in map(str.split, lines)}
    return {name: fields[name] for name in FIELDS}


async def play(environment: Environment, tasks: Sequence[str]) -> None:
    """Play episodes to their ends, the last one but to its second page."""
    for task in tasks:
        _, info = await environment.reset(task, 0)
        while "expert_action" in info:
            _, _, terminated, truncated, info = await environment.step(info["expert_action"])
            if terminated or truncated or task == tasks[-1]:
                break


async def played(pool: Any, tasks: Sequence[str], count: int) -> list[Environment]:
    """Return so many environments that have played the episodes between them."""
    environments = [await pool.acquire() for _ in range(count)]
    for number, environment in enumerate(environments):
        await play(environment, tasks[number::count])
    return environments


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a fresh process, so that this one maps nothing itself."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def first_tasks(folder: Path) -> list[str]:
    return list(islice(webshop_tasks(folder).ids("train"), EPISODES))


def in_process(spec: EnvSpec, tasks: Sequence[str], count: int) -> dict[str, float]:
    """Return the memory of this process when it has run so many environments."""

    async def run() -> dict[str, float]:
        environments = await played(LocalPool(spec), tasks, count)
        found = memory("self")
        assert len(environments) == count
        return found

    return asyncio.run(run())


async def in_workers(spec: EnvSpec, tasks: Sequence[str], count: int) -> dict[str, float]:
    """Return the memory of so many worker processes, together."""
    before = children()
    pool = WorkerPool(spec, count, None)
    workers = await played(pool, tasks, count)
    each = [memory(process) for process in children() - before]
    assert len(each) == len(workers) == count
    await pool.close()
    return {name: sum(one[name] for one in each) for name in FIELDS}


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def report(title: str, one: dict[str, float], many: dict[str, float], count: int) -> None:
    ratio = many["Pss"] / one["Pss"]
    further = (many["Private_Dirty"] - one["Private_Dirty"]) / (count - 1)
    print(
        f"{title}: one {one['Pss']:.0f} MB, {count} {many['Pss']:.0f} MB, ratio {ratio:.2f}; "
        f"{further:.2f} MB of its own for each further one"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("catalogue", type=Path, nargs="?", help="default: the small set")
    parser.add_argument("--workers", type=int, default=MANY, help="worker processes; 0 skips them")
    options = parser.parse_args()
    if options.catalogue:
        os.environ["AGENTRL_CACHE"] = str(options.catalogue.resolve().parent)
    folder = data_folder(options.catalogue).resolve()
    spec = EnvSpec("webshop", {"data": str(folder), "expert": "search"})
    tasks = apart(first_tasks, folder)
    print(f"{EPISODES} episodes, searches and products differ")
    one, many = (apart(in_process, spec, tasks, count) for count in (1, MANY))
    report("environments of one process", one, many, MANY)
    if options.workers > 1:
        one = asyncio.run(in_workers(spec, tasks, 1))
        many = asyncio.run(in_workers(spec, tasks, options.workers))
        report("worker processes", one, many, options.workers)


if __name__ == "__main__":
    main()
