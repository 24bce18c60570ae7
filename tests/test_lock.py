from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentrl.errors import ConfigError, DataError
from agentrl.storage.lock import alone

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from agentrl.storage.lock import alone
with alone(Path(sys.argv[1]), "it"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    time.sleep(600)
"""


def test_one_at_a_time_and_the_next_one_once_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with alone(path, "the run"):
        before = path.read_bytes()
        with (
            pytest.raises(ConfigError, match=rf"the run is in use by process {os.getpid()} on "),
            alone(path, "the run"),
        ):
            pass
        assert path.read_bytes() == before
    with pytest.raises(ZeroDivisionError), alone(path, "the run"):
        raise ZeroDivisionError
    with alone(path, "the run"):
        assert path.read_text().count("\n") == 1


def test_a_killed_process_lets_go_though_what_it_started_lives_on(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(ConfigError, match=f"process {holder.pid} "), alone(path, "it"):
                pass
            holder.kill()
            holder.wait()
            os.kill(child, 0)
            with alone(path, "it"):
                pass
        finally:
            holder.kill()
            os.kill(child, signal.SIGKILL)


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(DataError, match=r"cannot lock .*run.lock"),
        alone(tmp_path / "run.lock", ""),
    ):
        pass
