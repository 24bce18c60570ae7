"""A two-turn game that a policy can learn in a few updates: the red door, twice."""

from __future__ import annotations

import numpy as np

from agentrl.env import Step, TextEnv
from agentrl.tasks import Task, TaskSet

COLOURS = ["blue", "green", "red"]


class Doors(TextEnv):
    tasks = TaskSet.seeded(train=1000, test=50)
    max_turns = 4

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        self.passed = 0
        return "Three doors."

    def on_step(self, action: str) -> Step:
        if action not in COLOURS:
            return self.invalid("No such door.")
        self.passed += action == "red"
        if self.passed == 2:
            return self.success("Outside.")
        return self.observe("The next doors." if action == "red" else "A wall.")

    def admissible_actions(self) -> list[str]:
        return list(COLOURS)

    def state_key(self) -> str:
        return str(self.passed)

    def expert_action(self) -> str:
        return "red"
