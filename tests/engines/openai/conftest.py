"""An endpoint that fails on demand, and a clock of the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from chat_endpoint import response, starter


class FakeTime:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_endpoint_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def respond() -> Callable[..., bytes]:
    """Make a raw response."""
    return response


@pytest.fixture
def fake_time() -> FakeTime:
    """A clock of the test's own."""
    return FakeTime()


@pytest.fixture
async def make_endpoint() -> AsyncIterator[Callable[..., Any]]:
    """Start small endpoints, and stop them at the end."""
    async with starter() as make:
        yield make
