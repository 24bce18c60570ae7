"""Which weights something is still sampled with."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from agentrl.engines.vllm.lease import Lease


async def test_older_weights_are_unused_once_the_last_completion_has_ended() -> None:
    lease = Lease(1, "policy", None)
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(lease.used())
        second.enter_context(lease.used())
        waiting = asyncio.create_task(lease.unused())
        await asyncio.sleep(0)
        first.close()
        # A loop that never suspends would keep this from coming back.
        await asyncio.wait_for(asyncio.sleep(0.01), 5)
        assert not waiting.done()
        second.close()
        await asyncio.wait_for(waiting, 5)
