"""Sound environments, as a stranger would write them."""

from __future__ import annotations

from typing import Any

import numpy as np

import agentrl
from agentrl.env import Step
from agentrl.tasks import Task


class Vault(agentrl.TextEnv):
    """Open a three-digit vault; each wrong code is answered with higher or lower."""

    tasks = agentrl.TaskSet.seeded(train=5_000, test=500)

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        self.code = int(rng.integers(1000))
        return "A vault with three dials. Turn it to a number."

    def on_step(self, action: str) -> Step:
        guess = agentrl.parse_int(action)
        if guess is None:
            return self.invalid("Say a number from 0 to 999.")
        if guess == self.code:
            return self.success("The vault opens.")
        return self.observe("Higher." if guess < self.code else "Lower.")


class Corridor(agentrl.TextEnv):
    """Walk to the door of a corridor; everything a check can look at is here."""

    tasks = agentrl.TaskSet.seeded(train=1_000, valid=50, test=100)
    max_turns: int | None = 30

    def __init__(self, *, expert: bool = False, length: int = 6, **options: Any) -> None:
        super().__init__(**options)
        self.expert = expert
        self.length = length

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        self.door = int(rng.integers(1, self.length))
        self.place = 0
        self.lamp = False
        return self.look()

    def look(self) -> str:
        return f"You are at {self.place} of {self.length}, the door is at {self.door}."

    def on_step(self, action: str) -> Step:
        if action not in self.admissible_actions():
            return self.invalid("You cannot do that.")
        if action == "lamp":
            self.lamp = not self.lamp
            return self.observe("Click.")
        if action == "open":
            return self.success("The door opens.")
        self.place += 1 if action == "forward" else -1
        return self.observe(self.look())

    def admissible_actions(self) -> list[str]:
        moves = ["lamp"]
        moves += ["back"] if self.place > 0 else []
        moves += ["forward"] if self.place < self.length else []
        return moves + (["open"] if self.place == self.door else [])

    def state_key(self) -> str:
        return f"{self.door}/{self.place}/{self.lamp}"

    def answer(self) -> str:
        return str(self.door)

    def expert_action(self) -> str | None:
        if not self.expert:
            return None
        if self.place == self.door:
            return "open"
        return "forward" if self.place < self.door else "back"

    def snapshot_state(self) -> Any:
        return self.door, self.place, self.lamp

    def restore_state(self, state: Any) -> None:
        self.door, self.place, self.lamp = state
