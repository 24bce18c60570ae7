from __future__ import annotations

import asyncio

import pytest

from agentrl.engines.vllm.gate import Gate
from agentrl.errors import EngineFault


async def through(gate: Gate, log: list[str], name: str, until: asyncio.Event) -> None:
    async with gate.passage():
        log.append(f"{name} in")
        await until.wait()
        log.append(f"{name} out")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_holder_waits_for_those_inside_and_keeps_others_out() -> None:
    gate, log, until = Gate(), [], asyncio.Event()
    first = asyncio.create_task(through(gate, log, "a", until))
    await settle()

    async def hold() -> None:
        with gate.held():
            await gate.emptied()
            log.append("held")

    holder = asyncio.create_task(hold())
    await settle()
    second = asyncio.create_task(through(gate, log, "b", until))
    await settle()
    assert log == ["a in"]
    until.set()
    await asyncio.gather(first, second, holder)
    assert log == ["a in", "a out", "held", "b in", "b out"]


async def test_a_pause_outlasts_a_holder() -> None:
    gate, log, until = Gate(), [], asyncio.Event()
    until.set()
    await gate.pause()
    await gate.pause()
    with gate.held():
        await gate.emptied()
    task = asyncio.create_task(through(gate, log, "a", until))
    await settle()
    assert log == []
    gate.resume()
    gate.resume()
    await task
    assert log == ["a in", "a out"]


async def test_closing_fails_those_inside_and_those_waiting() -> None:
    gate, log, never = Gate(), [], asyncio.Event()
    inside = asyncio.create_task(through(gate, log, "a", never))
    await settle()
    pausing = asyncio.create_task(gate.pause())
    await settle()
    outside = asyncio.create_task(through(gate, log, "b", never))
    await settle()
    gate.close()
    results = await asyncio.gather(inside, outside, return_exceptions=True)
    assert [type(result) for result in results] == [EngineFault, EngineFault]
    await pausing
    with pytest.raises(EngineFault, match="closed"):
        await through(gate, log, "c", never)
    with pytest.raises(EngineFault, match="closed"), gate.held():
        pass


async def test_whether_all_leave_in_time() -> None:
    gate, until = Gate(), asyncio.Event()
    assert await gate.emptied_within(0.01)
    inside = asyncio.create_task(through(gate, [], "a", until))
    await settle()
    assert not await gate.emptied_within(0.01)
    until.set()
    assert await gate.emptied_within(60)
    await inside


async def test_a_timeout_of_ones_own_and_a_cancellation_stay_what_they_are() -> None:
    gate = Gate()
    with pytest.raises(TimeoutError):
        async with gate.passage():
            raise TimeoutError
    task = asyncio.create_task(through(gate, [], "a", asyncio.Event()))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gate.pause()
