"""An environment for evaluations: say `win` before your three turns are over."""

from __future__ import annotations

import agentrl


class Game(agentrl.TextEnv):
    """Say win."""

    tasks = agentrl.TaskSet.seeded(train=20, test=12)
    max_turns = 3

    def __init__(self, *, broken=(), prize: float = 1.0, **options) -> None:
        super().__init__(**options)
        self.broken, self.prize = set(broken), prize

    def on_reset(self, task, rng):
        if task.id in self.broken:
            raise RuntimeError("the server is down")
        return f"Task {task.id}, draw {int(rng.integers(1000))}."

    def metrics(self):
        return {"turns_left": self.max_turns - self._turns}

    def on_step(self, action):
        if action == "win":
            return self.success("Won.", reward=self.prize)
        if action == "lose":
            return self.failure("Lost.")
        return self.invalid("What?")
