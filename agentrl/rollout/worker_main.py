"""The worker process: plays one environment on request and never outlives its collector.

Requests are tuples: `("start", factory)`, `("reset", task_id, seed)`, `("step", action)` and
`("close",)`. Each gets exactly one reply, in order.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from agentrl.errors import AgentRLError, EnvironmentFault
from agentrl.rollout.environments import describe, turn_limit
from agentrl.rollout.frames import (
    FAULT,
    OK,
    USER_ERROR,
    pack_reply,
    receive_frame,
    unpack_request,
)

_GRACE_SECONDS = 2.0
"""How long a worker whose collector is gone may take to close its environment."""


class Host:
    """Holds the worker's environment."""

    def __init__(self) -> None:
        self._factory: Any = None
        self._env: Any = None

    def answer(self, request: tuple[Any, ...]) -> bytes:
        """Return the reply to a request; whatever the environment raises becomes a reply."""
        verb = request[0]
        try:
            return pack_reply(OK, getattr(self, f"on_{verb}")(*request[1:]))
        except EnvironmentFault as error:
            return self._fault(str(error))
        except AgentRLError as error:
            return pack_reply(USER_ERROR, (type(error).__name__, str(error)))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            return self._fault(describe(verb, error))

    def on_start(self, factory: Any) -> int | None:
        """Make the environment; return its limit on turns."""
        self._factory = factory
        self._env = factory()
        return turn_limit(self._env)

    def on_reset(self, task_id: str, seed: int) -> Any:
        """Start a task; an environment that raised before is made anew."""
        if self._env is None:
            self._env = self._factory()
        return self._env.reset(seed=seed, options={"task": task_id})

    def on_step(self, action: str) -> Any:
        """Take one action."""
        return self._env.step(action)

    def on_close(self) -> None:
        """Close the environment; what a broken one raises then is of no interest."""
        env, self._env = self._env, None
        if env is not None:
            with suppress(Exception):
                env.close()

    def _fault(self, text: str) -> bytes:
        self.on_close()
        return pack_reply(FAULT, text)


def main(descriptor: int, parent: int) -> None:
    """Serve requests on an inherited socket until the collector closes it.

    Args:
        descriptor: The socket's file descriptor.
        parent: The collector's process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(True)
    threading.Thread(target=_watch, args=(descriptor, parent), daemon=True).start()
    host = Host()
    with suppress(OSError):
        while (body := receive_frame(connection)) is not None:
            connection.sendall(host.answer(_unpack(body)))
    host.on_close()


def _unpack(body: bytes) -> tuple[Any, ...]:
    """Return a request; a factory that cannot be imported here becomes one that says so."""
    try:
        request: tuple[Any, ...] = unpack_request(body)
    except Exception as error:
        return "start", _Unimportable(describe("unpickling", error))
    return request


class _Unimportable:
    """Stands in for an environment factory that this process cannot import."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def __call__(self) -> Any:
        raise EnvironmentFault(self._problem)


def _watch(descriptor: int, parent: int) -> None:
    """Kill this process and its children once the collector is gone, even amid a hung call."""
    poller = select.poll()
    poller.register(descriptor, 0)
    while not poller.poll(2000) and os.getppid() == parent:
        pass
    time.sleep(_GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)
