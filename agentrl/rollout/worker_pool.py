"""Environments in worker processes that can be killed.

Each worker is a fresh interpreter in a process group of its own, plays one episode at a time and
speaks over a socket pair (see `agentrl.rollout.frames`). A worker that misses a deadline, dies or
is abandoned amid a call is killed with its whole group; the next episode gets a new one. Workers
notice when the collector is gone and end themselves.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import weakref
from contextlib import suppress
from typing import Any

import agentrl.errors
from agentrl.errors import AgentRLError, ConfigError, EnvironmentFault
from agentrl.rollout.environments import DeadlineFault, EnvFactory, StepResult
from agentrl.rollout.frames import OK, USER_ERROR, FrameBuffer, pack_request, unpack_reply

START_SECONDS = 120.0
"""Limit on starting an interpreter and making the environment."""

_CLOSE_SECONDS = 2.0
_Process = subprocess.Popen[bytes]


class WorkerPool:
    """A bounded number of workers, started when needed and kept for later episodes."""

    def __init__(self, factory: EnvFactory, workers: int, turn_seconds: float | None) -> None:
        """Prepare a pool; no process starts before the first `acquire`.

        Args:
            factory: Makes the environment; is pickled.
            workers: Most processes alive at a time.
            turn_seconds: Deadline of one environment call; None waits for ever.

        Raises:
            ConfigError: The factory cannot be pickled.
        """
        try:
            self._start = pack_request(("start", factory))
        except Exception as error:
            raise ConfigError(
                f"the environment cannot be sent to worker processes ({error}); "
                "name it (EnvSpec), or set rollout.workers=0"
            ) from None
        self.capacity: int | None = workers
        self._turn_seconds = turn_seconds
        self._idle: list[Worker] = []
        self._processes: set[_Process] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._vacancies = asyncio.Semaphore(workers)
        weakref.finalize(self, _kill_all, self._processes, os.getpid())

    async def acquire(self) -> Worker:
        """Return an idle worker, or start one."""
        self._bind()
        await self._vacancies.acquire()
        try:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.kill()
            return await Worker.start(self._start, self._processes, self._turn_seconds)
        except BaseException:
            self._vacancies.release()
            raise

    def release(self, worker: Worker) -> None:
        """Keep a worker that lives for the next episode."""
        if worker.alive:
            self._idle.append(worker)
        else:
            worker.kill()
        self._vacancies.release()

    async def close(self) -> None:
        """Let idle workers close their environments, then kill whatever is left."""
        idle, self._idle = self._idle, []
        with suppress(AgentRLError):
            await asyncio.gather(*(worker.close() for worker in idle), return_exceptions=True)
        for process in list(self._processes):
            await _reap(process, self._processes)

    def _bind(self) -> None:
        """Start afresh where a new event loop runs: connections belong to the loop of their making.

        Workers of the old loop are killed.
        """
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        for worker in self._idle:
            worker.discard()
        self._idle.clear()
        _kill_all(self._processes, os.getpid())
        assert self.capacity is not None
        self._vacancies = asyncio.Semaphore(self.capacity)


class Worker:
    """One worker process, as an `Environment`."""

    __slots__ = ("_connection", "_frames", "_process", "_processes", "_turn_seconds", "max_turns")

    def __init__(
        self,
        process: _Process,
        connection: socket.socket,
        processes: set[_Process],
        turn_seconds: float | None,
    ) -> None:
        self._process = process
        self._connection = connection
        self._processes = processes
        self._turn_seconds = turn_seconds
        self._frames = FrameBuffer()
        self.max_turns: int | None = None

    @classmethod
    async def start(
        cls, start: bytes, processes: set[_Process], turn_seconds: float | None
    ) -> Worker:
        """Start a process and make its environment.

        Args:
            start: The packed `start` request.
            processes: Keeps the process until it has been reaped.
            turn_seconds: Deadline of one environment call.

        Raises:
            EnvironmentFault: The environment cannot be made.
        """
        here, there = socket.socketpair()
        here.setblocking(False)
        with there:
            try:
                process = _spawn(there.fileno())
            except OSError as error:
                here.close()
                raise EnvironmentFault(f"cannot start a worker process: {error}") from None
        processes.add(process)
        worker = cls(process, here, processes, turn_seconds)
        try:
            worker.max_turns = await worker._send(start, START_SECONDS, "making the environment")
        except BaseException:
            worker.kill()
            raise
        return worker

    @property
    def alive(self) -> bool:
        """Whether the process still listens, and has nothing to say unasked."""
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def reset(self, task_id: str, seed: int) -> tuple[str, dict[str, Any]]:
        """Start a task."""
        result = await self._send(
            pack_request(("reset", task_id, seed)), self._turn_seconds, "reset"
        )
        return tuple(result) if isinstance(result, list) else result

    async def step(self, action: str) -> StepResult:
        """Take one action."""
        result = await self._send(pack_request(("step", action)), self._turn_seconds, "step")
        return tuple(result) if isinstance(result, list) else result

    async def close(self) -> None:
        """Ask the worker to close its environment; kill it in any case."""
        try:
            await self._send(pack_request(("close",)), _CLOSE_SECONDS, "close")
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the process and its children; the remains are collected in the background."""
        self._connection.close()
        if self._process in self._processes:
            _kill(self._process)
            task = asyncio.create_task(_reap(self._process, self._processes))
            _reaping.add(task)
            task.add_done_callback(_reaping.discard)

    def discard(self) -> None:
        """Close the connection of a worker that is killed elsewhere."""
        self._connection.close()

    async def _send(self, frame: bytes, seconds: float | None, call: str) -> Any:
        """Return the payload of the reply to one request; whatever goes wrong kills the worker."""
        try:
            async with asyncio.timeout(seconds):
                status, payload = await self._exchange(frame)
        except TimeoutError:
            self.kill()
            raise DeadlineFault(f"{call} took longer than {seconds:g} s") from None
        except OSError:
            self.kill()
            await _reap(self._process, self._processes)
            ending = _ending(self._process.returncode)
            raise EnvironmentFault(f"the worker process {ending} in {call}") from None
        except ValueError as error:
            self.kill()
            raise EnvironmentFault(f"{error} in {call}") from None
        except BaseException:
            self.kill()
            raise
        if status == OK:
            return payload
        if status == USER_ERROR:
            raise _user_error(payload)
        raise EnvironmentFault(str(payload))

    async def _exchange(self, frame: bytes) -> tuple[int, Any]:
        """Send a request and return status and payload of its reply.

        Raises:
            OSError: The worker is gone.
            ValueError: It answered nonsense.
        """
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._connection, frame)
        while True:
            data = await loop.sock_recv(self._connection, 1 << 18)
            if not data:
                raise ConnectionResetError
            body = self._frames.feed(data)
            if body is not None:
                return unpack_reply(body)


_reaping: set[asyncio.Task[None]] = set()
"""Keeps background tasks from being collected before they are done."""


def _spawn(descriptor: int) -> _Process:
    """Start a worker with this interpreter's import path; its prints go to standard error."""
    path = [entry or os.getcwd() for entry in sys.path]
    program = (
        f"import sys; sys.path[:] = {path!r}; "
        f"from agentrl.rollout.worker_main import main; main({descriptor}, {os.getpid()})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=2,
        pass_fds=[descriptor],
        start_new_session=True,
    )


def _kill(process: _Process) -> None:
    """Kill the process group; safe because an unreaped leader keeps its id from being reused."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


async def _reap(process: _Process, processes: set[_Process]) -> None:
    """Kill and wait until the kernel has given the process up."""
    pause = 0.001
    _kill(process)
    while process.poll() is None:
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.1)
    processes.discard(process)


def _kill_all(processes: set[_Process], owner: int) -> None:
    """Kill and collect every process, without an event loop; a forked copy of us must not."""
    if os.getpid() != owner:
        return
    for process in processes:
        _kill(process)
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
    processes.clear()


def _user_error(payload: Any) -> AgentRLError:
    """Return the error that the worker caught, by the name of its class."""
    name, text = payload
    kind = getattr(agentrl.errors, name, AgentRLError)
    error: AgentRLError = AgentRLError.__new__(kind)
    error.args = (text,)
    return error


def _ending(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is None:
        return "died"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
