"""An environment that breaks on purpose, for worker processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import agentrl

KINDS = ("raise", "hang", "exit", "kill")


class Faulty(agentrl.TextEnv):
    """Three steps to success; steps break at random, or once per task by plan.

    Args:
        rate: Probability that a step breaks.
        plan: A directory of markers: task i breaks once, in the way KINDS[i % 4].
        always: A way in which every step breaks.
        child: Start a child process of its own with each episode.
        shout: An observation to give, whatever it is.
        disk: Without one the environment cannot be made.
    """

    tasks = agentrl.TaskSet.seeded(train=100)

    def __init__(
        self, *, rate=0.0, plan=None, always=None, child=False, shout=None, disk=True, **options
    ):
        super().__init__(**options)
        if not disk:
            raise OSError("no disk")
        self.rate = rate
        self.plan = plan
        self.always = always
        self.child = child
        self.shout = shout

    def on_reset(self, task, rng):
        self.steps = 0
        if self.child:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return "Ready."

    def on_step(self, action):
        kind = self._fault()
        if kind is not None:
            break_down(kind)
        self.steps += 1
        text = self.shout if self.shout is not None else f"Step {self.steps}."
        return self.success(text) if self.steps == 3 else self.observe(text)

    def _fault(self):
        if self.always:
            return self.always
        if self.plan:
            marker = Path(self.plan) / self.task.id.replace("/", "-")
            if not marker.exists():
                marker.touch()
                return KINDS[int(self.task.id.split("/")[1]) % len(KINDS)]
        return random.choice(KINDS) if random.random() < self.rate else None


def break_down(kind: str) -> None:
    if kind == "raise":
        raise RuntimeError("it broke")
    if kind == "hang":
        time.sleep(600)
    if kind == "exit":
        os._exit(3)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
