"""A server process that we own: started, waited for, and ended with everything it started."""

from __future__ import annotations

import atexit
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from agentrl.errors import ConfigError, EngineFault

Say = Callable[[str], None]
"""Tells the user a line."""

_GUARD = Path(__file__).with_name("guard.py")
_TELL_EVERY_SECONDS = 10.0
_POLL_SECONDS = 0.2
_STOP_SECONDS = 15.0
_TAIL_LINES = 12
_MENDS = (
    (r"address already in use", "the port is taken; leave out the engine option 'port'"),
    (
        r"out of memory|OutOfMemory|Cannot allocate memory|No available memory for the cache"
        r"|less than desired GPU memory",
        "it needs more memory than there is; lower engine.max_batch, the option context_length, "
        "or with the option 'server' gpu_memory_utilization",
    ),
    (
        r"unrecognized arguments|no such option",
        "vLLM 0.32 does not know an option; mend the engine option 'server'",
    ),
)
# As raised, as logged and as argparse says it; not where a warning quotes one.
_ERROR_LINE = re.compile(
    r"^(?:\([^)]*\) )?(?:ERROR .*?\] )?((?:[\w.]*(?:Error|Exception)|[\w.]+: error): .+)"
)


class ServerProcess:
    """One server process and its log; it does not outlive us, even if we are killed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        url: str,
        log: Path | None = None,
    ) -> None:
        """Start the server; `wait_ready` says when it answers.

        Args:
            command: Program and arguments.
            environment: The whole environment.
            url: Where it will answer.
            log: Takes what it prints, after what is there; None: a temporary file.

        Raises:
            EngineFault: The program cannot be started.
            ConfigError: The log cannot be written.
        """
        self.url = url
        self.log = log if log is not None else _temporary_log()
        self._from = self.log.stat().st_size if self.log.exists() else 0
        # Isolated and without site: the guard needs nothing installed and starts at once.
        guarded = [sys.executable, "-I", "-S", str(_GUARD), *command]
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as output:
                self._guard = subprocess.Popen(
                    guarded,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    env={**environment, "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                )
        except OSError as error:
            raise ConfigError(f"cannot start a server that logs to {self.log}: {error}") from None
        atexit.register(self.stop)
        self.pid = self._read_pid()

    @property
    def status(self) -> int | None:
        """The exit status as a shell shows it (137: killed), or None while it runs."""
        return self._guard.poll()

    def wait_ready(self, seconds: float, say: Say) -> None:
        """Return once the server answers that it is well.

        Raises:
            EngineFault: It ended before, or took too long; its last lines have been told.
        """
        started = told = time.monotonic()
        with httpx.Client(timeout=2.0, verify=False, trust_env=False) as client:
            while not _is_well(client, self.url):
                now = time.monotonic()
                if self.status is not None:
                    raise self._failure(f"ended with status {self.status} while starting", say)
                if now - started > seconds:
                    self.stop()
                    raise self._failure(f"did not answer within {seconds:g} s of its start", say)
                if now - told > _TELL_EVERY_SECONDS:
                    told = now
                    say(f"vLLM is starting ({now - started:.0f} s): {self._last_line()}")
                time.sleep(_POLL_SECONDS)

    def last_lines(self, count: int = _TAIL_LINES) -> list[str]:
        """Return the last lines that this server has printed."""
        return self._lines()[-count:]

    def describe_end(self) -> str:
        """Return a phrase about a server that has ended: status, cause and log."""
        return f"ended with status {self.status}{self._cause()}; its log: {self.log}"

    def stop(self) -> None:
        """End the server and all that it started; return once they are gone."""
        atexit.unregister(self.stop)
        if self._guard.stdin is not None and not self._guard.stdin.closed:
            with suppress(OSError):
                self._guard.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._guard.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """End the server and all that it started at once, even where it hangs."""
        if self.status is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.stop()

    def _read_pid(self) -> int:
        assert self._guard.stdout is not None
        with self._guard.stdout as output:
            line = output.readline()
        if line:
            return int(line)
        self._guard.wait(_STOP_SECONDS)
        raise EngineFault(f"the server's program cannot be started{self._cause()}")

    def _failure(self, what: str, say: Say) -> EngineFault:
        for line in self.last_lines():
            say(f"  | {line}")
        text = "\n".join(self._lines())
        mend = next((m for pattern, m in _MENDS if re.search(pattern, text, re.I)), None)
        return EngineFault(
            f"the vLLM server {what}{self._cause()}; {mend or 'see what it says'}: {self.log}"
        )

    def _cause(self) -> str:
        """Return the first error it printed: later ones follow from it."""
        errors = [found[1] for line in self._lines() if (found := _ERROR_LINE.match(line))]
        return f" ({' '.join(errors[0].split())[:300]})" if errors else ""

    def _last_line(self) -> str:
        lines = self.last_lines(1)
        return lines[0][:160] if lines else "it has printed nothing yet"

    def _lines(self) -> list[str]:
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(self._from)
            lines = file.read().decode("utf-8", "replace").splitlines()
            return [line.rstrip() for line in lines if line.strip()]
        return []


def free_port(asked: int | None, host: str = "127.0.0.1") -> int:
    """Return the port asked for, or any free one.

    Raises:
        ConfigError: The port is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, asked or 0))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"the vLLM server cannot have port {asked} ({reason}); leave out the engine "
                "option 'port', or to use the server there give urls: "
                f"[http://{host}:{asked}]"
            ) from None
        return int(probe.getsockname()[1])


def _is_well(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def _temporary_log() -> Path:
    with tempfile.NamedTemporaryFile(prefix="agentrl-vllm-", suffix=".log", delete=False) as file:
        return Path(file.name)
