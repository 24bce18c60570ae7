"""Small stand-ins: an environment, a dialogue over bytes and a scripted engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import numpy as np

import agentrl
from agentrl.dialogue.base import Prompt, Reply
from agentrl.engines.base import Completion, Request
from agentrl.rollout.collector import GroupRequest


class Ladder(agentrl.TextEnv):
    """Climb: each `up` is a rung, `down` falls to the ground for good, the top is the goal."""

    tasks = agentrl.TaskSet.seeded(train=50, test=10)

    def on_reset(self, task, rng):
        self.rung = 0
        self.height = int(rng.integers(2, 6))
        return f"A ladder of {self.height} rungs."

    def on_step(self, action):
        if action == "up":
            self.rung += 1
            if self.rung == self.height:
                return self.success("The top.")
            return self.observe(f"Rung {self.rung}.", reward=0.125)
        if action == "down":
            return self.failure("You fell.", reward=-1.0)
        if action == "wait":
            return self.observe("Nothing happens.")
        return self.invalid(f"What is {action}?")

    def state_key(self):
        return f"{self.height}:{self.rung}"

    def answer(self):
        return str(self.height)

    def metrics(self):
        return {"share": np.float64(self.rung / self.height), "height": self.height}


class ByteDialogue:
    """Tokens are bytes; a completion that starts with ! cannot be parsed."""

    def __init__(self, budget: int = 10_000) -> None:
        self.budget = budget
        self.history = b""
        self.new = b""
        self.started = False

    def observe(self, observation, info):
        self.new += observation.encode() + b"\n"

    def prompt(self):
        whole = self.history + self.new
        if len(whole) + 8 > self.budget:
            return None
        starts, self.started = not self.started, True
        return Prompt(_ids(whole), _ids(self.new), starts, max_tokens=8, stop_ids=(10,))

    def receive(self, completion):
        self.history += self.new + bytes(completion.token_ids.tolist())
        self.new = b""
        text = bytes(completion.token_ids.tolist()).decode().rstrip("\n")
        if text.startswith("!"):
            return Reply("", False, text, problem="Say one word.")
        return Reply(text, True, text)


class ScriptEngine:
    """Answers with what `policy(request, turn)` says; the turn is counted per session."""

    context_length = 10_000

    def __init__(self, policy: Callable[[Request, int], str], delay: float = 0.0) -> None:
        self.policy = policy
        self.delay = delay
        self.turns: dict[str, int] = {}
        self.requests: list[Request] = []
        self.released: list[str] = []
        self.running = 0
        self.most_running = 0
        self.version = 0

    async def generate(self, request):
        turn = self.turns.get(request.session, 0)
        self.turns[request.session] = turn + 1
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.delay:
                await asyncio.sleep(random.random() * self.delay)
            text = self.policy(request, turn)
        finally:
            self.running -= 1
        ids = _ids(text.encode() + b"\n")
        return Completion(ids, np.full(len(ids), -0.5, np.float32), "stop", self.version)

    async def release(self, session):
        self.released.append(session)
        self.turns.pop(session, None)


def climb(request: Request, turn: int) -> str:
    return "up"


def by_seed(request: Request, turn: int) -> str:
    """Mostly climb, but let the request's seed decide."""
    return random.Random(request.sampling.seed).choice(["up", "up", "wait", "hop", "!", "down"])


def requests(groups: int = 4, size: int = 3) -> list[GroupRequest]:
    return [GroupRequest(f"g{i}", f"train/{i}", "train", size, seed=100 + i) for i in range(groups)]


def _ids(data: bytes):
    return np.frombuffer(data, np.uint8).astype(np.int32)
