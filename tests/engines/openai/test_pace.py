"""Rate limits, proven with a clock that only waiting moves on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from agentrl.engines.openai.pace import Pacer, Window


async def times(pacer: Pacer, fake_time: Any, amounts: list[float]) -> list[float]:
    """Return when each of some requests, all wanted at once, may go."""
    went: list[float] = []

    async def go(amount: float) -> None:
        await pacer.turn(amount)
        went.append(fake_time.now - 1000.0)

    await asyncio.gather(*[go(amount) for amount in amounts])
    return went


async def test_requests_per_minute(fake_time) -> None:
    pacer = Pacer(Window(3), None, fake_time.clock, fake_time.sleep)
    assert await times(pacer, fake_time, [1.0] * 8) == [0, 0, 0, 60, 60, 60, 120, 120]


async def test_tokens_per_minute(fake_time) -> None:
    pacer = Pacer(None, Window(100), fake_time.clock, fake_time.sleep)
    # 250 counts as all there is: it waits for an empty minute, and what follows for another.
    assert await times(pacer, fake_time, [60, 40, 1, 250, 10]) == [0, 0, 60, 120, 180]


async def test_the_stricter_limit_counts(fake_time) -> None:
    pacer = Pacer(Window(2), Window(100), fake_time.clock, fake_time.sleep)
    assert await times(pacer, fake_time, [90, 20, 20, 20]) == [0, 60, 60, 120]


async def test_no_limit_means_no_waiting(fake_time) -> None:
    pacer = Pacer(None, None, fake_time.clock, fake_time.sleep)
    assert await times(pacer, fake_time, [1e9] * 50) == [0] * 50
    assert fake_time.pauses == []


async def test_what_was_really_used_replaces_the_estimate(fake_time) -> None:
    pacer = Pacer(None, Window(100), fake_time.clock, fake_time.sleep)
    spending = await pacer.turn(90)
    spending.amount = 10
    await pacer.turn(90)
    assert fake_time.pauses == []
    await pacer.turn(1)
    assert fake_time.pauses == [60]


async def test_silence_holds_everybody(fake_time) -> None:
    pacer = Pacer(None, None, fake_time.clock, fake_time.sleep)
    pacer.silence(20)
    pacer.silence(5)
    assert await times(pacer, fake_time, [1, 1]) == [20, 20]


@pytest.mark.parametrize("seed", range(5))
async def test_no_minute_holds_more_than_the_limit(fake_time, seed: int) -> None:
    rng = random.Random(seed)
    pacer = Pacer(Window(7), Window(500), fake_time.clock, fake_time.sleep)
    went: list[tuple[float, float]] = []
    for _ in range(200):
        amount = rng.uniform(1, 300)
        await pacer.turn(amount)
        went.append((fake_time.now, amount))
        fake_time.now += rng.expovariate(0.5)
    for start, _ in went:
        minute = [amount for at, amount in went if start <= at < start + 60]
        assert len(minute) <= 7
        assert sum(minute) <= 500 + 1e-9
