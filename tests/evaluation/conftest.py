from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agentrl.dialogue.base import Prompt, Reply
from agentrl.engines.base import Completion
from agentrl.evaluation.conditions import Conditions
from agentrl.evaluation.results import Attempt, ResultsFile
from agentrl.trajectory import Outcome


class ByteDialogue:
    """Tokens are bytes, a message is a line."""

    def __init__(self) -> None:
        self.ids = b""

    def observe(self, observation, info):
        self.new = observation.encode() + b"\n"

    def prompt(self):
        whole = np.frombuffer(self.ids + self.new, np.uint8).astype(np.int32)
        new = np.frombuffer(self.new, np.uint8).astype(np.int32)
        return Prompt(whole, new, not self.ids, max_tokens=8, stop_ids=(10,))

    def receive(self, completion):
        said = bytes(completion.token_ids.tolist())
        self.ids += self.new + said
        return Reply(said.decode().strip(), True, said.decode())


class Guesser:
    """Wins with a chance of `skill`, decided by the request's seed; remembers what it played."""

    context_length = 10_000

    def __init__(self, skill: float = 0.5) -> None:
        self.skill = skill
        self.sessions: list[str] = []

    async def generate(self, request):
        if request.session not in self.sessions:
            self.sessions.append(request.session)
        await asyncio.sleep(0)
        drawn = random.Random(request.sampling.seed).random()
        word = "win" if drawn < self.skill else "lose" if drawn < 0.9 else "hop"
        ids = np.frombuffer(word.encode() + b"\n", np.uint8).astype(np.int32)
        return Completion(ids, np.zeros(len(ids), np.float32), "stop", 0)

    async def release(self, session):
        pass


@pytest.fixture
def dialogues() -> type[ByteDialogue]:
    return ByteDialogue


@pytest.fixture
def guesser() -> type[Guesser]:
    return Guesser


@pytest.fixture
def game() -> str:
    return f"{Path(__file__).parent / 'games.py'}:Game"


@pytest.fixture
def write_results() -> Callable[..., Path]:
    """Write a results file from successes by task; None is an attempt lost to infrastructure."""

    def write(
        path: Path, tasks: dict[str, list[bool | None]], fingerprint: str = "f", **conditions
    ) -> Path:
        settings = {"environment": "game", "split": "test", "policy": "step-000010", **conditions}
        with ResultsFile(path, Conditions(**settings)) as file:
            for task, attempts in tasks.items():
                for number, solved in enumerate(attempts):
                    outcome = {True: Outcome.SUCCESS, False: Outcome.FAILURE, None: Outcome.TIMEOUT}
                    file.append(
                        Attempt(
                            task=task,
                            attempt=number,
                            fingerprint=fingerprint,
                            outcome=outcome[solved],
                            score=float(solved or 0),
                            turns=2,
                        )
                    )
        return path

    return write
