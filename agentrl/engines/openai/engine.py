"""The `openai` engine: evaluates whatever answers chat requests.

Its ids stand for text, not for the model's tokens: a prompt is turned back into messages, and the
reply's text into ids. There are no log-probabilities, so it cannot train.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from agentrl.dialogue.messages import END, MessageCodec, messages
from agentrl.engines.base import Completion, Ids, Logprobs, Request
from agentrl.engines.openai.client import ChatClient
from agentrl.engines.openai.options import find_endpoint, read_options
from agentrl.engines.openai.wire import Answer, chat_body
from agentrl.errors import ConfigError, ContextOverflow, EngineFault

_GUESSED_RATIO = 0.3
"""Tokens of a byte of text, before the endpoint has counted any."""


class OpenAIEngine:
    """Asks an endpoint; see `agentrl.engines.base.Engine`.

    Attributes:
        codec: What renders conversations for it.
        context_length: In ids, that is bytes: no limit of the model's.
    """

    speaks_text: ClassVar[bool] = True
    """It brings its own codec, and is for evaluation only."""

    def __init__(self, model: str, *, version: int = 0, **options: Any) -> None:
        """Prepare to ask; nothing is sent.

        Args:
            model: Its name at the endpoint.
            version: The policy version that completions name.
            options: See `agentrl.engines.openai.options.Options`.

        Raises:
            ConfigError: An option is unknown or wrong.
        """
        self._options = read_options(options)
        self._model = model
        self._client = ChatClient(find_endpoint(self._options), self._options)
        self._version = version
        self._ratio: float | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._waiting: set[asyncio.Task[Completion]] = set()
        self._asking: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        self._has_warned = False
        self.codec = MessageCodec()
        self.context_length = 1 << 22

    async def generate(self, request: Request) -> Completion:
        """Return the endpoint's reply.

        Raises:
            ContextOverflow: The model has no room for the prompt.
            ConfigError: The endpoint refuses such requests, or the request is no conversation.
            EngineFault: The endpoint failed again and again, or the engine is closed.
        """
        self._check_open()
        self._check(request)
        work = asyncio.create_task(self._answer(request))
        self._waiting.add(work)
        try:
            return await work
        except asyncio.CancelledError:
            self._check_open()
            raise
        finally:
            self._waiting.discard(work)

    async def score(self, token_ids: Ids) -> Logprobs:
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "engine 'openai' cannot score: a chat endpoint tells no log-probabilities of given "
            "text; use engine=transformers or engine=vllm"
        )

    async def load_weights(self, version: int, weights: Mapping[str, Any] | Path) -> None:
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "engine 'openai' cannot take weights: the endpoint has its own; use "
            "engine=transformers or engine=vllm"
        )

    async def pause(self) -> None:
        """Finish what is running and start nothing new until `resume`."""
        self._open.clear()
        if self._asking:
            await asyncio.wait(self._asking)

    async def resume(self) -> None:
        """Go on after `pause`."""
        self._open.set()

    async def release(self, session: str) -> None:
        """Do nothing: each request holds the whole conversation."""

    async def close(self) -> None:
        """Fail what is running and close all connections."""
        self._is_closed = True
        running = list(self._waiting)
        for work in running:
            work.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._client.close()

    async def _answer(self, request: Request) -> Completion:
        await self._open.wait()
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            return await self._ask(request)
        finally:
            self._asking.discard(task)

    async def _ask(self, request: Request) -> Completion:
        size = len(request.prompt_ids)
        expected = size * (self._ratio or _GUESSED_RATIO)
        body = chat_body(
            self._model,
            messages(request.prompt_ids),
            request.sampling,
            limit_name=self._client.limit_name,
            omit=self._options.omit,
            extra=self._options.extra,
        )
        self._fit(body, expected)
        answer = await self._client.ask(body, expected + request.sampling.max_tokens)
        if answer.usage.prompt_tokens:
            self._ratio = answer.usage.prompt_tokens / size
        self._warn_of_thoughts(answer, request.sampling.max_tokens)
        return self._completion(answer)

    def _fit(self, body: dict[str, Any], expected: float) -> None:
        """Lower the limit of a request to the room that is left, as far as that is known."""
        length = self._options.context_length
        if length is None or self._ratio is None:
            return
        room = int(length - expected)
        if room < 1:
            raise ContextOverflow(
                f"a prompt of about {expected:.0f} tokens does not fit "
                f"engine.options.context_length={length}; use dialogue.memory=window"
            )
        name = self._client.limit_name
        if name in body:
            body[name] = min(body[name], room)

    def _completion(self, answer: Answer) -> Completion:
        ids = self.codec.encode(answer.text)
        if answer.finish_reason == "stop":
            ids = np.append(ids, np.int32(END))
        unknown = np.full(len(ids), np.nan, np.float32)
        return Completion(ids, unknown, answer.finish_reason, self._version, usage=answer.usage)

    def _warn_of_thoughts(self, answer: Answer, limit: int) -> None:
        if self._has_warned or answer.text.strip() or answer.finish_reason != "length":
            return
        self._has_warned = True
        warnings.warn(
            f"{self._model} used up {limit} tokens before it said anything, as models that think "
            "do; raise dialogue.max_turn_tokens",
            stacklevel=2,
        )

    def _check(self, request: Request) -> None:
        size, limit = len(request.prompt_ids), request.sampling.max_tokens
        if size == 0 or limit < 1:
            raise ConfigError("a request needs at least one prompt id and max_tokens of at least 1")
        if size + limit > self.context_length:
            raise ConfigError(f"a prompt of {size} bytes is longer than {self.context_length}")
        if request.choices is not None:
            raise ConfigError(
                "engine 'openai' cannot restrict what is sampled: a chat endpoint takes no list of "
                "answers; set dialogue.restrict=false"
            )

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineFault("the engine is closed; make a new one")
