from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentrl.cli import main

ENTRY_POINTS = """\
[agentrl.environments]
door = door_plugin:Door
shattered = door_plugin_missing:Nothing
"""

PLUGIN = '''
import agentrl


class Door(agentrl.TextEnv):
    """Open the door."""

    tasks = agentrl.TaskSet.seeded(train=10, test=5)

    def on_reset(self, task, rng):
        return "A door."

    def on_step(self, action):
        return self.success("Open.") if action == "open" else self.observe("Closed.")
'''

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in process: (exit code, stdout, stderr)."""

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Return a folder that holds an installed third-party distribution, one entry of it broken."""
    info = tmp_path / "door_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: door-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "door_plugin.py").write_text(PLUGIN)
    (tmp_path / "door_plugin_missing.py").write_text("import no_such_package_at_all\n")
    return tmp_path


@pytest.fixture
def python_with(plugin: Path) -> Callable[[str], str]:
    """Return a function that runs Python code where the plugin is installed; gives its output."""

    def call(code: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(plugin)}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call
