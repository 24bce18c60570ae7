"""Runs a server and ends it when whoever asked for it is gone, however it went.

Started as a file, with the standard library only. It writes the server's process id to standard
output and then waits: when its standard input closes, or its parent is another one than at the
start, the server's whole process group is ended. It exits as the server did.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

_GRACE_SECONDS = 8.0


def main(command: list[str]) -> int:
    """Run the command to its end, or to ours; return its status as a shell would."""
    parent = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Not SIG_IGN, which the server would inherit.
        signal.signal(number, lambda *_: None)
    # vLLM leaves a few sockets behind, in the system's temporary folder if it is not told where.
    with tempfile.TemporaryDirectory(prefix="vllm-", ignore_cleanup_errors=True) as sockets:
        # Our own standard output is for its process id: all it prints goes to the log.
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            start_new_session=True,
            env={"VLLM_RPC_BASE_PATH": sockets, **os.environ},
        )
        print(server.pid, flush=True)
        threading.Thread(target=_watch, args=(parent, server), daemon=True).start()
        status = server.wait()
        _end_group(server.pid, 0.0)
    return status if status >= 0 else 128 - status


def _watch(parent: int, server: subprocess.Popen[bytes]) -> None:
    """End the server once the parent has closed our standard input or is gone."""
    while os.getppid() == parent:
        ready, _, _ = select.select([0], [], [], 1.0)
        if ready and not os.read(0, 4096):
            break
    _end_group(server.pid, _GRACE_SECONDS)


def _end_group(group: int, grace_seconds: float) -> None:
    """Ask a process group to end, and make it after some time."""
    deadline = time.monotonic() + grace_seconds
    try:
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(0.05)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
