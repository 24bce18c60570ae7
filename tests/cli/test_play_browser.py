"""`agentrl play --browser`: the server around an environment's own pages."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

GOOD = Path(__file__).parent.parent / "check" / "good.py"
SHOW = """
from __future__ import annotations
import importlib.util
spec = importlib.util.spec_from_file_location("good_for_show", {good!r})
good = importlib.util.module_from_spec(spec)
spec.loader.exec_module(good)

class Shown(good.Corridor):
    @classmethod
    def browser_app(cls, make, *, task, seed, hosts, record):
        async def app(scope, receive, send):
            text = make().reset(seed=seed, options={{"task": task}})[1]["task_id"]
            body = f"{{text}} {{sorted(hosts)}} {{record is not None}}".encode()
            await send({{"type": "http.response.start", "status": 200, "headers": []}})
            await send({{"type": "http.response.body", "body": body}})
        return app
"""


@pytest.fixture
def shown(tmp_path: Path) -> str:
    (tmp_path / "shown.py").write_text(SHOW.format(good=str(GOOD)))
    return f"{tmp_path / 'shown.py'}:Shown"


@pytest.fixture
def started(shown: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    words = ["play", shown, "--browser", "--task", "train/4", "--save", str(tmp_path / "new")]
    command = [sys.executable, "-m", "agentrl", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_it_serves_until_ctrl_c(started: subprocess.Popen[str], tmp_path: Path) -> None:
    assert started.stdout is not None
    found = re.search(r"is at (http://127\.0\.0\.1:\d+/)", started.stdout.readline())
    assert found is not None
    with httpx.Client(trust_env=False) as client:
        said = client.get(found.group(1)).text
    assert said == "train/4 ['127.0.0.1', '[::1]', 'localhost'] True"
    assert (tmp_path / "new").is_dir()
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0
    assert "closed" in out
    assert err == ""


def test_an_environment_without_pages(run) -> None:
    code, _, err = run("play", f"{GOOD}:Corridor", "--browser")
    assert code == 2
    assert "has no pages for a browser" in err


def test_a_port_that_is_taken(run, shown: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = run("play", shown, "--browser", "--port", port)
    assert code == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--browser", "--port", "99999"], "cannot listen"),
        (["--browser", "--host", "0.0.0.0"], "names no address"),
        (["--browser", "--task", "train/none"], "train/none"),
        (["--browser", "--show-prompt"], "for the terminal"),
        (["--browser", "--set", "colour=1"], "has no option 'colour'"),
        (["--save", "x"], "--save needs --browser"),
    ],
)
def test_what_cannot_be_served_is_told(run, shown: str, words: list[str], problem: str) -> None:
    code, _, err = run("play", shown, *words)
    assert code == 2
    assert problem in err
    assert err.count("\n") == 1
