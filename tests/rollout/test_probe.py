from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentrl import credit
from agentrl.config import RolloutConfig
from agentrl.errors import ConfigError, RegistryError
from agentrl.rollout.environments import EnvSpec
from agentrl.rollout.probe import check_info

SOURCE = """
import os
import agentrl
from pathlib import Path


class Told(agentrl.TextEnv):
    tasks = agentrl.TaskSet.seeded(train=3)

    def __init__(self, *, log, key=None, reply=None, faulty=False, worker=False, **options):
        super().__init__(**options)
        self.log, self.key, self.reply, self.faulty = Path(log), key, reply, faulty

    @classmethod
    def blocks(cls, **options):
        return options.get("worker", False)

    def note(self, text):
        with self.log.open("a") as file:
            file.write(f"{os.getpid()} {text}\\n")

    def on_reset(self, task, rng):
        self.note(f"reset {task.id}")
        if self.faulty:
            raise RuntimeError("broken")
        return "Begin."

    def on_step(self, action):
        return self.success("Done.")

    def state_key(self):
        return self.key

    def answer(self):
        return self.reply

    def close(self):
        self.note("close")
"""


@pytest.fixture
def probe(tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Return what an environment of these options noted while it was probed: process, call."""
    (tmp_path / "told.py").write_text(SOURCE)

    def run(*entries: Any, workers: int = 0, **options: Any) -> list[list[str]]:
        log = tmp_path / "log"
        spec = EnvSpec(f"{tmp_path / 'told.py'}:Told", {"log": str(log), **options})
        methods = credit.parse(list(entries))
        check_info(methods, spec, RolloutConfig(workers=workers), "train/1")
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split(maxsplit=1) for line in lines]

    return run


@pytest.mark.parametrize(
    "entries",
    [
        ["grpo"],
        ["rloo", "salt"],
        ["grpo", "empg"],
        ["grpo", {"gigpo": {"anchor": "observation"}}],
    ],
)
def test_an_environment_is_not_made_where_nothing_is_read(
    probe: Callable[..., list[list[str]]], entries: list[Any]
) -> None:
    assert probe(*entries) == []


@pytest.mark.parametrize("name", ["gigpo", "graph_value"])
def test_a_missing_state_key_is_refused(probe: Callable[..., Any], name: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{name}' needs info\['state_key'\].*state_key\(\)"):
        probe("grpo", name)
    assert probe("grpo", name, key="a room")


def test_a_missing_answer_is_refused(probe: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"'igpo' needs info\['answer'\].*or leave igpo out"):
        probe("grpo", "igpo", key="a room")
    assert probe("grpo", "igpo", reply="Paris")


def test_the_message_is_one_line(probe: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        probe("grpo", "gigpo")
    assert "\n" not in str(caught.value)
    assert "told.py:Told" in str(caught.value)


def test_the_named_task_is_reset_once_and_closed(probe: Callable[..., list[list[str]]]) -> None:
    here = str(os.getpid())
    assert probe("grpo", "gigpo", key="k") == [[here, "reset train/1"], [here, "close"]]


@pytest.mark.parametrize("settings", [{"worker": True}, {"workers": 2}])
def test_a_worker_is_used_where_rollouts_would(
    probe: Callable[..., list[list[str]]], settings: dict[str, Any]
) -> None:
    noted = probe("grpo", "gigpo", key="k", **settings)
    assert [call for _, call in noted] == ["reset train/1", "close"]
    assert {process for process, _ in noted}.isdisjoint({str(os.getpid())})


def test_a_faulty_reset_is_left_to_the_rollouts(probe: Callable[..., list[list[str]]]) -> None:
    assert [call for _, call in probe("grpo", "gigpo", faulty=True)] == ["reset train/1", "close"]


def test_an_unknown_environment_is_named() -> None:
    with pytest.raises(RegistryError, match="nowhere"):
        check_info(credit.parse(["grpo", "gigpo"]), EnvSpec("nowhere"), RolloutConfig(), "x")
