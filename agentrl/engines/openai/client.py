"""Sends requests to an endpoint: paced, bounded, repeated where the failure may pass."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from agentrl.engines.connections import ConnectionFailure, Connections, Reply, environment_proxy
from agentrl.engines.openai.options import Endpoint, Options
from agentrl.engines.openai.pace import Pacer, Window
from agentrl.engines.openai.probe import offered_models
from agentrl.engines.openai.refusals import Refusal, explain, is_page, read_refusal, refusal_in
from agentrl.engines.openai.wire import Answer, read_answer, read_json
from agentrl.errors import ConfigError, EngineFault

_KEEP_ALIVE_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_OTHER_LIMIT = "max_completion_tokens"


class ChatClient:
    """The client of one endpoint; usable from one event loop at a time.

    Attributes:
        limit_name: What the endpoint calls the limit on sampled tokens, as far as is known.
    """

    def __init__(self, endpoint: Endpoint, options: Options, pacer: Pacer | None = None) -> None:
        """Prepare to talk; nothing is sent.

        Args:
            endpoint: Where to.
            options: Limits, retries, deadline.
            pacer: None: one that keeps the limits in `options`.
        """
        self._endpoint = endpoint
        self._options = options
        self._pacer = pacer if pacer is not None else _pacer(options)
        self._in_flight = asyncio.Semaphore(options.max_concurrency)
        self._connections = Connections(
            endpoint.url,
            most=options.max_concurrency,
            headers=endpoint.headers,
            keep_seconds=_KEEP_ALIVE_SECONDS,
            proxy=environment_proxy(endpoint.url),
        )
        self._has_worked = False
        self.limit_name = "max_tokens"

    async def ask(self, body: dict[str, Any], tokens: float) -> Answer:
        """Return the reply to a chat request.

        Args:
            body: See `agentrl.engines.openai.wire.chat_body`.
            tokens: What the request is believed to take from the limit.

        Raises:
            ContextOverflow: The model has no room for the prompt.
            ConfigError: The endpoint refuses such requests.
            EngineFault: It fails again and again, or does not answer in time.
        """
        async with self._in_flight:
            last = ""
            for attempt in range(self._options.retries + 1):
                answer = await self._attempt(body, tokens)
                if isinstance(answer, Answer):
                    return answer
                last = f"status {answer.status}: {answer.text}" if answer.status else answer.text
                pause = self._pause(answer, attempt)
                if pause and attempt < self._options.retries:
                    await self._pacer.sleep(pause)
        raise EngineFault(
            f"{self._endpoint.url} failed {self._options.retries + 1} times in a row, at last "
            f"with {last}"
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def _attempt(self, body: dict[str, Any], tokens: float) -> Answer | Refusal:
        """Return the reply, or a refusal that may pass, once it is this request's turn."""
        spending = await self._pacer.turn(tokens)
        try:
            async with asyncio.timeout(self._options.request_seconds):
                content = msgspec.json.encode(body)
                reply = await self._connections.post("/chat/completions", content)
        except TimeoutError:
            raise EngineFault(
                f"{self._endpoint.url} did not answer within {self._options.request_seconds:g} s; "
                "raise engine.options.request_seconds"
            ) from None
        except ConnectionFailure as error:
            return Refusal(0, f"the connection was lost ({error})")
        if reply.status >= 300:
            return await self._judge(read_refusal(reply, self._endpoint), body, tokens)
        answer = await self._read(reply, body, tokens)
        if isinstance(answer, Answer):
            self._has_worked = True
            spending.amount = answer.usage.prompt_tokens + answer.usage.completion_tokens or tokens
        return answer

    async def _read(self, reply: Reply, body: dict[str, Any], tokens: float) -> Answer | Refusal:
        limit = int(body.get("max_tokens") or body.get(_OTHER_LIMIT) or 0)
        try:
            content = read_json(reply.content)
            if isinstance(content, dict) and content.get("error") and not content.get("choices"):
                refusal = refusal_in(content, reply.status, self._endpoint)
                return await self._judge(refusal, body, tokens)
            return read_answer(content, limit)
        except ValueError as error:
            what = "a web page" if is_page(reply) else f"no chat completion ({error})"
        if not self._has_worked:
            raise ConfigError(
                f"what answers at {self._endpoint.url} is no OpenAI-compatible API: it sent {what}"
            )
        return Refusal(502, f"it sent {what}")

    async def _judge(
        self, refusal: Refusal, body: dict[str, Any], tokens: float
    ) -> Answer | Refusal:
        """Return the refusal where the request is worth repeating, or raise what it means."""
        if not refusal.is_too_long:
            if refusal.is_passing:
                return refusal
            if "max_tokens" in body and refusal.names(_OTHER_LIMIT):
                # OpenAI's reasoning models call the limit by another name, and say so.
                self.limit_name = _OTHER_LIMIT
                body[_OTHER_LIMIT] = body.pop("max_tokens")
                return await self._attempt(body, tokens)
        models = None
        if refusal.status == 404:
            models = await asyncio.to_thread(offered_models, self._endpoint)
        raise explain(refusal, self._endpoint, body, models=models, has_worked=self._has_worked)

    def _pause(self, refusal: Refusal, attempt: int) -> float:
        """Return how long this request waits; 0 where now all wait."""
        longest = self._options.request_seconds
        if refusal.wait is not None and refusal.wait > longest:
            raise ConfigError(
                f"{self._endpoint.url} asks to be left alone for {refusal.wait:.0f} s "
                f"({refusal.text}); what has been played is kept: give the same command again then"
            )
        pause: float = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * (1 + random.random())
        # Pauses grow whatever it asks for: some say 0 and refuse again.
        pause = max(pause, refusal.wait or 0.0)
        if refusal.wait is not None or refusal.status == 429:
            # One request too many is a reason for all to wait.
            self._pacer.silence(pause)
            return 0.0
        return pause


def _pacer(options: Options) -> Pacer:
    requests, tokens = options.requests_per_minute, options.tokens_per_minute
    return Pacer(Window(requests) if requests else None, Window(tokens) if tokens else None)
