"""A process that makes games, and is ended when it takes too long.

The generator searches without limit at some levels, the compiler is two more programs, and
TextWorld's output depends on Python's hash seed in places; so none of this happens in the process
that plays.
"""

from __future__ import annotations

import functools
import json
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentrl.environments.textworld.challenges import Recipe
from agentrl.errors import MissingExtraError, TaskError

BUILD_SECONDS = 300.0
"""Limit on making one game."""

_Process = subprocess.Popen[bytes]


class Builder:
    """Makes games one after another; the process starts with the first."""

    def __init__(self, seconds: float = BUILD_SECONDS) -> None:
        self._seconds = seconds
        self._process: _Process | None = None
        self._buffer = b""
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def build(self, recipe: Recipe, split: str, index: int, folder: Path | None) -> dict[str, Any]:
        """Make a task's game and return its `content` and `attempt`.

        Args:
            recipe: The challenge and its parameters.
            split: The task's split.
            index: The task's number in it.
            folder: Where the compiled game goes; None to learn its content only.

        Raises:
            TaskError: There is no such game, it does not compile, or it took too long.
        """
        request = {
            "recipe": json.loads(recipe.to_json()),
            "split": split,
            "index": index,
            "folder": str(folder) if folder is not None else None,
        }
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            # A process that has been idle for long has ended itself, perhaps just now.
            reply = self._exchange(line) or self._exchange(line) or {"error": "it ends at once"}
        problem = reply.get("error")
        if problem is not None:
            raise TaskError(f"TextWorld task {split}/{index} of {recipe.to_json()}: {problem}")
        return reply

    def close(self) -> None:
        """End the process and whatever it has started."""
        if self._finalizer is not None:
            self._finalizer()
        self._process, self._finalizer, self._buffer = None, None, b""

    def _exchange(self, request: bytes) -> dict[str, Any] | None:
        """Return the reply to a request; None where the process had ended in good order."""
        process = self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
            line = self._read_line(process)
        except OSError:
            line = b""
        except BaseException:
            self.close()
            raise
        if line is None:
            self.close()
            return {
                "error": f"making the game took longer than {self._seconds:g} s and was stopped; "
                "use a lower difficulty"
            }
        if not line:
            status = process.wait()
            self.close()
            return {"error": f"the builder process ended with status {status}"} if status else None
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _read_line(self, process: _Process) -> bytes | None:
        """Return a line of the answer, nothing where the process has ended, None for too late."""
        assert process.stdout is not None
        deadline = time.monotonic() + self._seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    return b""
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _start(self) -> _Process:
        if self._process is not None:
            return self._process
        require_textworld()
        path = [entry or os.getcwd() for entry in sys.path]
        program = (
            f"import sys; sys.path[:] = {path!r}; "
            f"from agentrl.environments.textworld.build_main import main; main({os.getpid()})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        self._finalizer = weakref.finalize(self, _end, self._process, os.getpid())
        return self._process


@functools.cache
def shared_builder() -> Builder:
    """Return the one builder that all environments of this process use."""
    return Builder()


def require_textworld() -> str:
    """Return the version of the installed TextWorld.

    Raises:
        MissingExtraError: It is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("textworld")
    except PackageNotFoundError as error:
        raise MissingExtraError("textworld", "textworld", "the TextWorld environment") from error


def _end(process: _Process, owner: int) -> None:
    """Kill the process; a forked copy of the owner leaves it alone.

    A compiler that it has just started ends by itself within a second or two.
    """
    if os.getpid() != owner:
        return
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
