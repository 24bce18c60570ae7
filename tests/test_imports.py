"""What importing costs, measured in modules: wall-clock times differ from machine to machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import agentrl

HEAVY = ("torch", "transformers", "peft", "pyarrow", "numpy", "gymnasium", "pydantic", "rich")


def python(code: str, path: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded(code: str, among: tuple[str, ...] = HEAVY) -> list[str]:
    return python(f"{code}\nimport sys; print(*(m for m in {among!r} if m in sys.modules))").split()


def test_import_agentrl_imports_nothing_heavy() -> None:
    assert loaded("import agentrl") == []


def test_the_environment_contract_needs_no_torch() -> None:
    assert "torch" not in loaded("import agentrl; agentrl.make('alfworld').reset(seed=0)")


def test_credit_needs_no_torch() -> None:
    assert "torch" not in loaded("import agentrl; agentrl.credit, agentrl.Batch")


@pytest.mark.parametrize(
    "code",
    [
        "import agentrl, gymnasium; gymnasium.make('agentrl/alfworld-v0').reset()",
        "import gymnasium, agentrl; gymnasium.make('agentrl/alfworld-v0').reset()",
        "import gymnasium; gymnasium.make('agentrl:agentrl/alfworld-v0').reset()",
        "import agentrl, gymnasium.spaces, gymnasium; gymnasium.spec('agentrl/alfworld-v0')",
        "import agentrl\nfrom gymnasium.envs.registration import spec\nspec('agentrl/alfworld-v0')",
    ],
)
def test_gymnasium_knows_the_environments_whatever_is_imported_first(code: str) -> None:
    python(code)


def test_gymnasium_knows_third_party_environments(tmp_path: Path) -> None:
    info = tmp_path / "door-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: door\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[agentrl.environments]\ndoor = door:Door\nbroken = no_such_module:Env\n"
    )
    (tmp_path / "door.py").write_text(
        "import agentrl\n"
        "class Door(agentrl.TextEnv):\n"
        "    tasks = agentrl.TaskSet.seeded(train=3)\n"
        "    def on_reset(self, task, rng):\n"
        "        return 'A door.'\n"
    )
    code = "import agentrl, gymnasium; print(gymnasium.make('agentrl/door-v0').reset()[0])"
    assert python(code, tmp_path) == "A door."


def test_public_names_are_frozen() -> None:
    assert agentrl.__all__ == [
        "AgentRLError",
        "Batch",
        "Outcome",
        "Run",
        "Task",
        "TaskSet",
        "TextEnv",
        "Trajectory",
        "Turn",
        "credit",
        "load_run",
        "make",
        "parse_int",
        "train",
    ]


def test_public_names_exist_and_are_listed() -> None:
    for name in agentrl.__all__:
        assert getattr(agentrl, name) is not None
        assert name in dir(agentrl)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        agentrl.nothing  # noqa: B018
