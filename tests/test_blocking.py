from __future__ import annotations

import asyncio

import pytest

from agentrl.blocking import run


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def fail() -> None:
    raise ValueError("no")


def test_outside_a_loop() -> None:
    assert run(answer()) == 42


async def test_inside_a_loop_as_in_a_notebook() -> None:
    assert run(answer()) == 42
    with pytest.raises(ValueError, match="no"):
        run(fail())
