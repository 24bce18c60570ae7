from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from agentrl.engines.vllm.process import ServerProcess, free_port
from agentrl.errors import ConfigError, EngineFault

SERVER = """
import socket, subprocess, sys, time
port, child = int(sys.argv[1]), sys.argv[2]
print("loading weights", flush=True)
if child != "none":
    done = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    open(child, "w").write(str(done.pid))
listener = socket.create_server(("127.0.0.1", port))
while True:
    talk, _ = listener.accept()
    talk.recv(4096)
    talk.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    talk.close()
"""


def command(port: int, child: Path | str = "none", code: str = SERVER) -> list[str]:
    return [sys.executable, "-S", "-c", code, str(port), str(child)]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie that nobody waits for is dead too.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start(log: Path, child: Path | str = "none", code: str = SERVER) -> ServerProcess:
    port = free_port(None)
    url = f"http://127.0.0.1:{port}"
    return ServerProcess(command(port, child, code), environment=os.environ, url=url, log=log)


def test_starts_answers_and_stops_with_all_it_started(tmp_path: Path) -> None:
    log, child = tmp_path / "run" / "vllm.log", tmp_path / "child"
    server = start(log, child)
    server.wait_ready(120, lambda line: None)
    assert server.status is None
    assert server.last_lines() == ["loading weights"]
    pids = [server.pid, int(child.read_text())]
    assert all(map(is_alive, pids))
    server.stop()
    server.stop()
    assert not any(map(is_alive, pids))
    assert server.status is not None


def test_a_second_start_logs_after_the_first(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text("ValueError: of an earlier run\n")
    server = start(log)
    server.wait_ready(120, lambda line: None)
    server.stop()
    assert log.read_text().startswith("ValueError: of an earlier run\nloading weights")
    assert "earlier" not in server.describe_end()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise MemoryError('torch: out of memory')", "out of memory.*lower engine.max_batch"),
        ("raise OSError('[Errno 98] address already in use')", "the port is taken"),
        ("import sys; print('bad'); sys.exit(3)", "ended with status 3 while starting"),
        ("raise ValueError('first')\n", r"ValueError: first"),
    ],
)
def test_a_server_that_ends_at_once_says_why(tmp_path: Path, code: str, words: str) -> None:
    told: list[str] = []
    server = start(tmp_path / "log", code=code)
    with pytest.raises(EngineFault, match=words) as caught:
        server.wait_ready(120, told.append)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "log") in str(caught.value)
    assert told
    assert all(line.startswith("  | ") for line in told)


def test_the_first_error_counts(tmp_path: Path) -> None:
    code = "print('RuntimeError: the cause'); raise ValueError('Engine core failed')"
    with pytest.raises(EngineFault, match="the cause"):
        start(tmp_path / "log", code=code).wait_ready(120, lambda line: None)


def test_a_server_that_never_answers_is_stopped(tmp_path: Path) -> None:
    server = start(tmp_path / "log", code="import time; time.sleep(600)")
    with pytest.raises(EngineFault, match="did not answer within"):
        server.wait_ready(0.3, lambda line: None)
    assert not is_alive(server.pid)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineFault, match=r"cannot be started.*no/such/program"):
        ServerProcess(
            ["no/such/program"], environment=os.environ, url="http://x", log=tmp_path / "log"
        )


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="logs to"):
        ServerProcess(
            command(1), environment=os.environ, url="http://x", log=tmp_path / "file" / "log"
        )


def test_a_killed_server_is_described(tmp_path: Path) -> None:
    child = tmp_path / "child"
    server = start(tmp_path / "log", child)
    server.wait_ready(120, lambda line: None)
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.status is not None)
    assert "ended with status 137" in server.describe_end()
    # What it had started went with it.
    assert not is_alive(int(child.read_text()))
    server.stop()


def test_a_killed_server_leaves_no_sockets_behind(tmp_path: Path) -> None:
    code = """
    import os
    folder = os.environ["VLLM_RPC_BASE_PATH"]
    open(os.path.join(folder, "socket"), "w").close()
    print(folder, flush=True)
    """
    server = start(tmp_path / "log", code=textwrap.dedent(code) + SERVER)
    server.wait_ready(120, lambda line: None)
    folder = Path(server.last_lines()[0])
    assert (folder / "socket").exists()
    server.kill()
    assert not folder.exists()


OWNER = """
import os, sys, time
from agentrl.engines.vllm.process import ServerProcess
server = ServerProcess({command!r}, environment=os.environ, url={url!r}, log={log!r})
server.wait_ready(120, print)
print(server.pid, flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("end", "number"),
    [
        ("", None),
        ("sys.exit(1)", None),
        ("os._exit(1)", None),
        ("time.sleep(600)", signal.SIGTERM),
        ("time.sleep(600)", signal.SIGINT),
        ("time.sleep(600)", signal.SIGKILL),
    ],
)
def test_no_server_outlives_its_owner(tmp_path: Path, end: str, number: int | None) -> None:
    port, child = free_port(None), tmp_path / "child"
    owner = OWNER.format(
        command=command(port, child),
        url=f"http://127.0.0.1:{port}",
        log="LOG",
        end=end,
    ).replace("log='LOG'", f"log=__import__('pathlib').Path({str(tmp_path / 'log')!r})")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(owner)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    if number is not None:
        process.send_signal(number)
    process.wait()
    wait_until(lambda: not is_alive(pid) and not is_alive(int(child.read_text())))


def test_a_port_in_use_is_one_clear_line() -> None:
    port = free_port(None)
    import socket

    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(ConfigError, match=f"port {port}.*urls"):
            free_port(port)
        with pytest.raises(ConfigError, match="port 99999"):
            free_port(99999)
    assert free_port(port) == port
