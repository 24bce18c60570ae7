"""Environments that are each wrong in one way."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

import agentrl
from agentrl.env import Step
from agentrl.errors import TaskError
from agentrl.tasks import SeededIds, Task, TaskSet

_spec = importlib.util.spec_from_file_location("good_envs", Path(__file__).with_name("good.py"))
assert _spec is not None
assert _spec.loader is not None
_good = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_good)
Corridor: Any = _good.Corridor
Vault: Any = _good.Vault
sys.modules["good_envs"] = _good


class UnseededReset(Corridor):
    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        return str(super().on_reset(task, np.random.default_rng(random.randrange(10**9))))


class UnseededStep(Corridor):
    def on_step(self, action: str) -> Step:
        if action == "lamp":
            return self.observe(random.choice(["Click.", "Clack."]))
        return super().on_step(action)


class ClockInInfo(Corridor):
    def _info(self) -> dict[str, Any]:
        return {**super()._info(), "now": time.perf_counter()}


class MetricsInWords(Corridor):
    def metrics(self) -> Any:
        return {"recall": "half"}


class SetOrder(Corridor):
    """Lists actions in the order of a set: it changes with the hash seed of the process."""

    def admissible_actions(self) -> list[str]:
        return list(set(super().admissible_actions()))


class LeaksBetweenEpisodes(Corridor):
    lamp = False

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        before = self.lamp
        text = super().on_reset(task, rng)
        self.lamp = before
        return text


class SharedState(Corridor):
    """All instances stand at the same place."""

    @property
    def place(self) -> int:
        return type(self)._place

    @place.setter
    def place(self, value: int) -> None:
        type(self)._place = value


class SharedIds(Corridor):
    tasks = TaskSet({"train": ["a", "b", "c"], "test": ["c", "d"]})


class SharedLazyIds(Corridor):
    tasks = TaskSet({"train": SeededIds("t", 10**7), "test": SeededIds("t", 500)})


class SharedContents(Corridor):
    tasks = TaskSet(
        {"train": SeededIds("train", 300), "test": SeededIds("test", 100)},
        lambda task_id: {"number": task_id.rpartition("/")[2]},
    )


class SharedFingerprints(Corridor):
    tasks = TaskSet(
        {"train": SeededIds("train", 300), "test": SeededIds("test", 100)},
        fingerprint=lambda task_id: task_id.rpartition("/")[2],
    )


class NotHere(SeededIds):
    def __len__(self) -> int:
        raise TaskError("its file is not there")


class SplitNotHere(Corridor):
    """Nothing is wrong with it: the data of one split are not on this machine."""

    tasks = TaskSet({"train": SeededIds("train", 9), "secret": NotHere("secret", 5)})


class RepeatedIds(Corridor):
    tasks = TaskSet({"train": ["a", "b", "a"], "test": ["d"]})


class RaisesOnEmpty(Vault):
    def on_step(self, action: str) -> Step:
        action[0].upper()
        return super().on_step(action)


class RaisesOnForeignDigits(Vault):
    def on_step(self, action: str) -> Step:
        if action.isdigit():
            int(action)
        return super().on_step(action)


class KeyTooCoarse(Corridor):
    """Forgets the lamp, which changes nothing, and the place, which does."""

    def admissible_actions(self) -> list[str]:
        return ["lamp", "forward", "back", "open"]

    def on_step(self, action: str) -> Step:
        if action == "open" and self.place != self.door:
            return self.observe("There is no door here.")
        if action == "back" and self.place == 0:
            return self.observe("A wall.")
        return super().on_step(action)

    def state_key(self) -> str:
        return f"{self.door}/{self.lamp}"


class KeyIgnoresActions(Corridor):
    def state_key(self) -> str:
        return str(self.door)


class KeyCountsTurns(Corridor):
    def state_key(self) -> str:
        return f"{super().state_key()}/{self._turns}"


class KeyCountsTurnsQuietly(KeyCountsTurns):
    """No action is invalid and there are no snapshots to betray it."""

    def on_step(self, action: str) -> Step:
        if action not in self.admissible_actions():
            return self.observe("You cannot do that.")
        return super().on_step(action)

    def admissible_actions(self) -> list[str]:
        return [action for action in super().admissible_actions() if action != "open"]

    def snapshot_state(self) -> Any:
        raise NotImplementedError("no snapshots")


class KeyNow(Corridor):
    _count = count()

    def state_key(self) -> str:
        return str(next(self._count))


class KeySometimes(Corridor):
    def state_key(self) -> Any:
        return super().state_key() if self.lamp else None


class TerminatesAtLimit(Corridor):
    def step(self, action: str) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, False, info


class MergesFlags(Corridor):
    def step(self, action: str) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, terminated or truncated, info


class IgnoresLimit(Corridor):
    def step(self, action: str) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, False, info


class ShallowSnapshot(Corridor):
    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        self.memory: list[str] = []
        return str(super().on_reset(task, rng))

    def on_step(self, action: str) -> Step:
        self.memory.append(action)
        step = super().on_step(action)
        return Step(f"{step.observation} ({len(self.memory)})", step.reward, step.terminated)

    def snapshot_state(self) -> Any:
        return super().snapshot_state(), self.memory

    def restore_state(self, state: Any) -> None:
        situation, self.memory = state
        super().restore_state(situation)


class ForgetfulSnapshot(Corridor):
    def snapshot_state(self) -> Any:
        return self.door, self.place, False


class EchoesSurrogates(Vault):
    def step(self, action: str) -> Any:
        _, *rest = super().step(action)
        return (f"You said {action}.", *rest)


class NumberObservation(Vault):
    def on_step(self, action: str) -> Any:
        return self.observe(3)  # type: ignore[arg-type]


class NanReward(Vault):
    def on_step(self, action: str) -> Step:
        return self.observe("Hm.", float("nan"))


class WrongInfo(Corridor):
    def _info(self) -> dict[str, Any]:
        return {**super()._info(), "success": 1}


class RepeatsActions(Corridor):
    def admissible_actions(self) -> list[str]:
        return [*super().admissible_actions(), "lamp"]


class ExpertWrong(Corridor):
    def expert_action(self) -> str | None:
        return "dance" if self.expert else None


class TakesAnyTask(Vault):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        try:
            return super().reset(seed=seed, options=options)
        except agentrl.AgentRLError:
            return super().reset(seed=seed)


class RaisesOnReset(Vault):
    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        if re.fullmatch(r"train/\d*[7-9]", task.id):
            raise ValueError("odd")
        return str(super().on_reset(task, rng))


class CannotBeMade(Vault):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        raise ZeroDivisionError("oh")
