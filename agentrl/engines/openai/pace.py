"""Rate limits: so many requests and tokens in any minute, and silence when an endpoint asks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_MINUTE = 60.0


@dataclass(slots=True)
class Spending:
    """What a request has taken from a limit."""

    time: float
    """In seconds, on any clock that does not go back."""
    amount: float


class Window:
    """At most `limit` in any minute."""

    def __init__(self, limit: float) -> None:
        """Start with nothing spent."""
        self._limit = limit
        self._spent: deque[Spending] = deque()

    def wait(self, now: float, amount: float) -> float:
        """Return for how many seconds `amount` cannot be spent yet; more than all counts as all."""
        while self._spent and self._spent[0].time <= now - _MINUTE:
            self._spent.popleft()
        excess = sum(each.amount for each in self._spent) + min(amount, self._limit) - self._limit
        for each in self._spent:
            if excess <= 0:
                return 0.0
            excess -= each.amount
            if excess <= 0:
                return each.time + _MINUTE - now
        return 0.0

    def spend(self, now: float, amount: float) -> Spending:
        """Book an amount; change it in what is returned once more is known."""
        spending = Spending(now, amount)
        self._spent.append(spending)
        return spending


@dataclass(slots=True)
class Pacer:
    """Lets requests go one after the other, each when the limits allow it."""

    requests: Window | None = None
    tokens: Window | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _queue: asyncio.Lock = field(default_factory=asyncio.Lock)
    _silent_until: float = float("-inf")

    async def turn(self, tokens: float) -> Spending:
        """Wait until a request of about so many tokens may go, and book it."""
        async with self._queue:
            while (pause := self._pause(tokens)) > 0:
                await self.sleep(pause)
            now = self.clock()
            if self.requests is not None:
                self.requests.spend(now, 1)
            if self.tokens is None:
                return Spending(now, tokens)
            return self.tokens.spend(now, tokens)

    def silence(self, seconds: float) -> None:
        """Let nothing go for so many seconds from now."""
        self._silent_until = max(self._silent_until, self.clock() + seconds)

    def _pause(self, tokens: float) -> float:
        now = self.clock()
        pauses = [self._silent_until - now]
        if self.requests is not None:
            pauses.append(self.requests.wait(now, 1))
        if self.tokens is not None:
            pauses.append(self.tokens.wait(now, tokens))
        return max(pauses)
