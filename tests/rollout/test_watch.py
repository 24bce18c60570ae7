from __future__ import annotations

import asyncio
import logging
import time

import pytest

from agentrl.rollout import watch as module
from agentrl.rollout.stats import RolloutStats
from agentrl.rollout.watch import watch


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(module, "_PERIOD_SECONDS", 0.005)
    monkeypatch.setattr(module, "_HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(module, "_WARN_LAG_SECONDS", 0.05)


async def watch_while(action, running=None) -> RolloutStats:
    stats = RolloutStats()
    if running is None:
        running = {"g0/1": time.perf_counter() - 5, "g0/2": 1e9}
    task = asyncio.create_task(watch(stats, running))
    await asyncio.sleep(0.01)
    await action(stats)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return stats


async def test_a_blocked_loop_is_measured_and_named(hurried, caplog):
    async def block(stats):
        time.sleep(0.2)
        await asyncio.sleep(0.02)

    with caplog.at_level(logging.WARNING):
        stats = await watch_while(block)
    assert stats.max_loop_lag > 0.1
    assert "the event loop was blocked for 0." in caplog.text


async def test_silence_is_broken_by_the_oldest_episode(hurried, caplog):
    with caplog.at_level(logging.WARNING):
        await watch_while(lambda stats: asyncio.sleep(0.1))
    assert "no episode has ended" in caplog.text
    assert "2 in flight, the oldest g0/1 for 5 s" in caplog.text


async def test_progress_is_silent(hurried, caplog):
    async def go_on(stats):
        for _ in range(20):
            stats.episodes += 1
            await asyncio.sleep(0.005)

    module._HEARTBEAT_SECONDS = 10.0
    with caplog.at_level(logging.WARNING):
        await watch_while(go_on)
    assert "no episode has ended" not in caplog.text


async def test_nothing_is_said_where_nothing_runs(hurried, caplog):
    async def learn(stats):
        time.sleep(0.2)
        await asyncio.sleep(0.1)

    with caplog.at_level(logging.WARNING):
        stats = await watch_while(learn, running={})
    assert caplog.text == ""
    assert stats.max_loop_lag == 0.0
