"""Played in worker processes, which may die; and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os

import pytest

from agentrl.config import RolloutConfig
from agentrl.environments.textworld import TextWorld
from agentrl.errors import EnvironmentFault
from agentrl.rollout.collector import Collector
from agentrl.rollout.environments import EnvSpec, needs_workers
from agentrl.rollout.worker_pool import WorkerPool

SPEC = EnvSpec("textworld", {"challenge": "coin_collector", "level": 3, "expert": "planner"})


def test_it_says_that_it_blocks():
    assert TextWorld.blocks()
    assert needs_workers(SPEC)
    assert isinstance(Collector(SPEC, None, None, RolloutConfig())._pool, WorkerPool)


async def win(worker):
    _, info = await worker.reset("train/0", 0)
    while not info["success"]:
        _, _, _, _, info = await worker.step(info["expert_action"])
    return info["success"]


async def test_a_killed_game_costs_only_its_own_episode():
    pool = WorkerPool(SPEC, 2, 60.0)
    doomed, other = await asyncio.gather(pool.acquire(), pool.acquire())
    try:
        _, info = await doomed.reset("train/0", 0)
        _, beside = await other.reset("train/0", 0)
        os.kill(doomed._process.pid, 9)
        with pytest.raises(EnvironmentFault, match=r"killed|signal|ended"):
            await doomed.step(info["expert_action"])
        while not beside["success"]:
            _, _, _, _, beside = await other.step(beside["expert_action"])
        pool.release(doomed)
        fresh = await pool.acquire()
        assert await win(fresh)
        pool.release(fresh)
        pool.release(other)
    finally:
        await pool.close()


def resident_megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_many_episodes_leave_nothing_behind(make):
    env, other = make("coin_collector"), make("treasure_hunter")
    games = [env.tasks.get("train/0").data, other.tasks.get("train/0").data]
    engine = env._engine

    def rounds(count):
        for index in range(count):
            engine.start(games[index % 2])
            engine.step("look")
        gc.collect()
        return resident_megabytes(), len(os.listdir("/proc/self/fd"))

    memory, files = rounds(20)
    later, files_later = rounds(60)
    assert files_later == files
    # Half a megabyte a game is what the interpreter leaks if its memory is not freed.
    assert later - memory < 15
