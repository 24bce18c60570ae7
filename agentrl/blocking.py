"""Between coroutines and code that blocks: each waits for the other without stopping it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the coroutine's result; where a loop runs already, another thread drives it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


class Worker:
    """One thread for the heavy work of coroutines, so that their event loop goes on meanwhile."""

    def __init__(self, name: str) -> None:
        """Name the thread; it starts with the first work."""
        # Always the same one: what OpenMP and torch keep per thread is made once.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return what `work` returns; cancelling leaves it running."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *arguments, **named))

    def close(self) -> None:
        """Take no more work."""
        self._thread.shutdown(wait=False)
