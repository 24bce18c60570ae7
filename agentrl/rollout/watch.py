"""A watch on a running collection: how late the event loop is, and a sign of life in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from agentrl.rollout.stats import RolloutStats

_log = logging.getLogger(__name__)

_PERIOD_SECONDS = 0.1
_HEARTBEAT_SECONDS = 60.0
_WARN_LAG_SECONDS = 5.0


async def watch(stats: RolloutStats, running: Mapping[str, float]) -> None:
    """While episodes run, measure loop lag and log when none has ended for a minute.

    Ends when cancelled.

    Args:
        stats: Takes up the largest lag.
        running: When each episode in flight began (`time.perf_counter`), by trajectory id.
    """
    done, since = -1, time.perf_counter()
    due = since + _PERIOD_SECONDS
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        now = time.perf_counter()
        lag, due = now - due, now + _PERIOD_SECONDS
        if not running:
            # Between two collections the loop may wait for the learner.
            since = now
            continue
        _note_lag(stats, lag)
        finished = stats.episodes + stats.lost + stats.retries
        if finished != done:
            done, since = finished, now
        elif now - since > _HEARTBEAT_SECONDS:
            since = now
            _log.warning(_sign_of_life(stats, running, now))


def _note_lag(stats: RolloutStats, lag: float) -> None:
    if lag > _WARN_LAG_SECONDS and lag > stats.max_loop_lag:
        _log.warning(
            "the event loop was blocked for %.1f s: an environment that blocks belongs in worker "
            "processes (rollout.workers)",
            lag,
        )
    stats.max_loop_lag = max(stats.max_loop_lag, lag)


def _sign_of_life(stats: RolloutStats, running: Mapping[str, float], now: float) -> str:
    oldest = min(running, key=running.__getitem__)
    return (
        f"no episode has ended for {_HEARTBEAT_SECONDS:g} s; {stats.episodes} done, "
        f"{len(running)} in flight, the oldest {oldest} for {now - running[oldest]:.0f} s"
    )
