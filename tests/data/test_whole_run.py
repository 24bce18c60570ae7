"""`agentrl data get alfworld` as a person gives it: interrupted, given again, and played."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

import agentrl
from agentrl.environments.alfworld import generate
from agentrl.environments.alfworld.export import to_pddl

ARCHIVE = "json_2.1.2_tw-pddl.zip"


@pytest.fixture
def release() -> bytes:
    """Return a release of a few generated games."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            game = {
                "pddl_domain": "(define (domain alfred))",
                "grammar": '{"task": [ { "rhs": "Your task is to: put some mug on desk." } ]}',
                "pddl_problem": to_pddl(generate(6, number)),
                "walkthrough": [],
            }
            split = ("train", "valid_unseen")[number % 2]
            name = f"json_2.1.1/{split}/task-{number}/trial/game.tw-pddl"
            archive.writestr(name, json.dumps(game))
    return file.getvalue()


def start(root: Path, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "agentrl", "data", "get", "alfworld", "--unverified"]
    return subprocess.Popen(
        [*command, "--from", url],
        env={**os.environ, "AGENTRL_DATA": str(root), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_size(file: Path, size: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and not (file.is_file() and file.stat().st_size >= size):
        time.sleep(0.02)


def test_ctrl_c_and_once_more(host, release, tmp_path) -> None:
    half = len(release) // 2
    host.files = {ARCHIVE: release}
    host.hold, host.cuts = threading.Event(), [half]
    process = start(tmp_path, host.url)
    part = tmp_path / ".downloads" / "alfworld" / f"{ARCHIVE}.part"
    wait_for_size(part, half, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what has come is kept; the same command goes on with it" in err
    assert "Traceback" not in err
    assert part.read_bytes() == release[:half]
    assert not (tmp_path / "alfworld").exists()

    process = start(tmp_path, host.url)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert host.sent == [half, len(release) - half]
    assert f"downloading {ARCHIVE}" in err
    assert "are here already" in err
    assert "packing the games (8)" in err
    assert "alfworld is in" in out
    assert {file.name for file in tmp_path.iterdir()} == {"alfworld"}
    env = agentrl.make(
        "alfworld", source="official", split="valid_unseen", data=tmp_path / "alfworld"
    )
    assert len(env.tasks.ids("valid_unseen")) == 4
    observation, _ = env.reset(options={"task": "valid_unseen/task-3/trial"})
    assert "put some mug on desk" in observation


def test_a_killed_download_goes_on(host, release, tmp_path) -> None:
    half = len(release) // 2
    host.files = {ARCHIVE: release}
    host.hold, host.cuts = threading.Event(), [half]
    process = start(tmp_path, host.url)
    wait_for_size(tmp_path / ".downloads" / "alfworld" / f"{ARCHIVE}.part", half, process)
    process.kill()
    process.communicate(timeout=60)
    process = start(tmp_path, host.url)
    assert process.communicate(timeout=60)[1].count("Traceback") == 0
    assert process.returncode == 0
    assert host.sent == [half, len(release) - half]
