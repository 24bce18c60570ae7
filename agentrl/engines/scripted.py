"""An engine without a model: it answers with the expert's, random or recorded actions.

For tests, for recording demonstrations, for measuring everything but the model, and as the
baselines every environment is judged by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from agentrl.engines.base import Completion, Ids, Logprobs, Request
from agentrl.errors import ConfigError, EngineFault, did_you_mean

Policy = Literal["oracle", "random", "replay"]
Replay = Mapping[tuple[str, int], Ids]
"""Recorded response ids by (session, turn), turns counted from 0."""
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


class Encoder(Protocol):
    """The part of a dialogue's codec that is needed here."""

    stop_ids: tuple[int, ...]

    def encode(self, text: str) -> Ids:
        """Return the ids of plain text."""
        ...


class _Gate:
    """Holds callers while shut."""

    def __init__(self) -> None:
        self.shut = False
        self._closed = False
        self._held: list[asyncio.Future[None]] = []

    async def passed(self) -> None:
        """Return once the gate is open.

        Raises:
            EngineFault: It was closed for good.
        """
        while self.shut and not self._closed:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._held.append(future)
            await future
        if self._closed:
            raise EngineFault("the engine is closed; make a new one")

    def open(self) -> None:
        """Let everyone pass."""
        self.shut = False
        self._notify()

    def close(self) -> None:
        """Refuse everyone from now on."""
        self._closed = True
        self._notify()

    def _notify(self) -> None:
        held, self._held = self._held, []
        for future in held:
            if not future.done():
                future.set_result(None)


class ScriptedEngine:
    """Answers each request from `Request.info`; see `agentrl.engines.base.Engine`.

    Log-probabilities are 0, except that a random choice among n actions has -log n on its first
    token. `max_tokens` cuts an answer short as it would cut a model's.
    """

    def __init__(
        self,
        policy: Policy = "oracle",
        *,
        codec: Encoder | None = None,
        write: Callable[[str], str] = str,
        replay: Replay | None = None,
        context_length: int = 1 << 20,
        version: int = 0,
    ) -> None:
        """Choose what to answer with.

        Args:
            policy: `oracle` takes `info["expert_action"]`, `random` one of
                `info["admissible_actions"]` (random letters where there is no list), `replay`
                what was recorded.
            codec: Turns actions into ids; `replay` needs none.
            write: Puts an action into the words of the dialogue's format.
            replay: What `replay` answers.
            context_length: Most ids of prompt and completion.
            version: The policy version that completions name.

        Raises:
            ConfigError: An unknown policy, or a part that it needs is missing.
        """
        if policy not in ("oracle", "random", "replay"):
            known = ("oracle", "random", "replay")
            raise ConfigError(f"unknown scripted policy {policy!r}; {did_you_mean(policy, known)}")
        if policy == "replay" and replay is None:
            raise ConfigError("the replay policy needs replay={(session, turn): response ids}")
        if policy != "replay" and codec is None:
            raise ConfigError(f"the {policy} policy needs the dialogue's codec to write ids")
        self.context_length = context_length
        self._policy = policy
        self._codec = codec
        self._write = write
        self._replay = replay if replay is not None else {}
        self._version = version
        self._turns: dict[str, int] = {}
        self._gate = _Gate()
        self._encoded: dict[str, Ids] = {}

    @property
    def policy_version(self) -> int:
        """The version that completions name."""
        return self._version

    async def generate(self, request: Request) -> Completion:
        """Return the scripted completion.

        Raises:
            EngineFault: `info` or the recording lacks what the policy answers with.
            ConfigError: Prompt and limits do not fit the context.
        """
        await self._gate.passed()
        limit = request.sampling.max_tokens
        if len(request.prompt_ids) == 0 or limit < 1:
            raise ConfigError("a request needs at least one prompt id and max_tokens of at least 1")
        if len(request.prompt_ids) + limit > self.context_length:
            raise ConfigError(
                f"a prompt of {len(request.prompt_ids)} ids and max_tokens={limit} do not fit "
                f"the context of {self.context_length}; lower dialogue.max_turn_tokens"
            )
        ids, first = self._answer(request)
        logprobs = np.zeros(min(len(ids), limit), np.float32)
        logprobs[:1] = first
        ended = len(ids) <= limit
        return Completion(ids[:limit], logprobs, "stop" if ended else "length", self._version)

    async def score(self, token_ids: Ids) -> Logprobs:
        """Return zeros: scripted actions are certain, shape [len(token_ids) - 1]."""
        await self._gate.passed()
        return np.zeros(max(0, len(token_ids) - 1), np.float32)

    async def load_weights(self, version: int, weights: Mapping[str, Any] | Path) -> None:
        """Take the version; there are no weights."""
        del weights
        self._version = version

    async def pause(self) -> None:
        """Start nothing new until `resume`."""
        self._gate.shut = True

    async def resume(self) -> None:
        """Go on after `pause`."""
        self._gate.open()

    async def release(self, session: str) -> None:
        """Forget how many turns a session has had."""
        self._turns.pop(session, None)

    async def close(self) -> None:
        """Refuse everything from now on."""
        self._gate.close()

    def _answer(self, request: Request) -> tuple[Ids, float]:
        """Return response ids, and the log-probability of the first."""
        if self._policy == "replay":
            return self._recorded(request.session), 0.0
        if self._policy == "oracle":
            action = request.info.get("expert_action")
            if action is None:
                raise EngineFault(
                    "info holds no 'expert_action'; make the environment with its expert"
                )
            return self._ids(str(action)), 0.0
        rng = np.random.default_rng(request.sampling.seed % (1 << 64))
        actions = request.info.get("admissible_actions")
        if not actions:
            word = "".join(rng.choice(_LETTERS, int(rng.integers(1, 9))))
            return self._ids(word), 0.0
        return self._ids(actions[int(rng.integers(len(actions)))]), -float(np.log(len(actions)))

    def _ids(self, action: str) -> Ids:
        cached = self._encoded.get(action)
        if cached is not None:
            return cached
        assert self._codec is not None
        body = np.asarray(self._codec.encode(self._write(action)), np.int32)
        ids = np.concatenate([body, np.array(self._codec.stop_ids[:1], np.int32)])
        if len(self._encoded) < 65536:
            self._encoded[action] = ids
        return ids

    def _recorded(self, session: str) -> Ids:
        turn = self._turns.get(session, 0)
        ids = self._replay.get((session, turn))
        if ids is None:
            raise EngineFault(f"nothing is recorded for session {session!r}, turn {turn}")
        self._turns[session] = turn + 1
        return np.asarray(ids, np.int32)
