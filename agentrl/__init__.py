"""agentrl: train LLM agents with multi-turn reinforcement learning."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentrl.gymnasium_ids import register_with_gymnasium

if TYPE_CHECKING:
    from agentrl import credit
    from agentrl.api import Run, load_run, train
    from agentrl.batch import Batch
    from agentrl.env import TextEnv, parse_int
    from agentrl.errors import AgentRLError
    from agentrl.registry import make
    from agentrl.tasks import Task, TaskSet
    from agentrl.trajectory import Outcome, Trajectory, Turn

__version__ = "0.1.0"

# Imported on first use: `import agentrl` and `agentrl --help` stay fast.
_HOMES = {
    "AgentRLError": "agentrl.errors",
    "Batch": "agentrl.batch",
    "Outcome": "agentrl.trajectory",
    "Run": "agentrl.api",
    "Task": "agentrl.tasks",
    "TaskSet": "agentrl.tasks",
    "TextEnv": "agentrl.env",
    "Trajectory": "agentrl.trajectory",
    "Turn": "agentrl.trajectory",
    "credit": "agentrl.credit",
    "load_run": "agentrl.api",
    "make": "agentrl.registry",
    "parse_int": "agentrl.env",
    "train": "agentrl.api",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'agentrl' has no attribute {name!r}")
    module = import_module(_HOMES[name])
    return module if name == "credit" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_gymnasium()
