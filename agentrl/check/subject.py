"""The environment under examination, and how hard to look at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agentrl import registry
from agentrl.env import TextEnv
from agentrl.errors import AgentRLError
from agentrl.tasks import task_seed

_EXPERTS: tuple[Any, ...] = (True, "planner", "search", "oracle")
"""Values of the option `expert` worth trying."""

NO_LIMIT = 1_000_000
"""A limit on turns that no check reaches."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An environment by name, with the options it is made with."""

    name: str
    """A registered name, or `file.py:Class`."""
    split: str = "train"
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the environment."""
    episodes: int = 16
    """Episodes a check plays."""
    fuzz: int = 3000
    """Hostile actions to try."""
    seed: int = 0
    """Seeds the choice of tasks and actions."""

    def make(self, *, max_turns: int | None = None, **more: Any) -> TextEnv:
        """Return a fresh instance.

        Args:
            max_turns: Replaces the limit on turns.
            more: Options added to the subject's own.
        """
        env = registry.make(self.name, **{"split": self.split, **self.options, **more})
        if max_turns is not None:
            env.max_turns = max_turns
        return env

    def make_with_expert(self, task_id: str) -> TextEnv | None:
        """Return an instance that offers `expert_action` in `task_id`, or None.

        The option `expert` is tried where the environment has it and it was not given.
        """
        settings: list[dict[str, Any]] = [{}]
        known = registry.option_names(registry.load("environments", self.name))
        if "expert" not in self.options and (known is None or "expert" in known):
            settings += [{"expert": value} for value in _EXPERTS]
        for setting in settings:
            try:
                env = self.make(**setting)
            except (AgentRLError, TypeError, ValueError):
                continue
            if env.reset(options={"task": task_id})[1].get("expert_action") is not None:
                return env
        return None

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the random stream of one check."""
        return np.random.default_rng([self.seed, task_seed(purpose)])

    def task_ids(self, count: int) -> list[str]:
        """Return ids of up to `count` different tasks of the split, drawn at random.

        Every check is given the same: where the first reset of a task is slow because a game is
        compiled, the others find it done.
        """
        ids = self.make().tasks.ids(self.split)
        size = len(ids)
        if size <= count:
            return [ids[i] for i in range(size)]
        rng = self.rng("tasks")
        few = size < 100_000
        picks = rng.permutation(size)[:count] if few else rng.integers(size, size=count)
        return [ids[i] for i in dict.fromkeys(picks.tolist())]
