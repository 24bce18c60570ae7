"""The vLLM engine: the policy behind one or several servers, owned or attached.

Weight updates wait until the requests inside have been answered, and keep new ones out: a
completion is sampled by the weights of exactly one version, which is the one it names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from agentrl.engines.base import Completion, FinishReason, Ids, Logprobs, Request, Sampling
from agentrl.engines.vllm.checks import check_ids, check_request
from agentrl.engines.vllm.choices import decode_choices
from agentrl.engines.vllm.client import Unreachable, VllmClient
from agentrl.engines.vllm.gate import Gate
from agentrl.engines.vllm.reference import read_reference
from agentrl.engines.vllm.router import Router
from agentrl.engines.vllm.servers import Servers, attach, check_server_options, own
from agentrl.engines.vllm.weights import WeightFolder
from agentrl.engines.vllm.wire import (
    next_score,
    prompt_scores,
    sampled,
    sampling_body,
    scoring_body,
    step_seed,
)
from agentrl.errors import ConfigError, EngineFault

T = TypeVar("T")
Sampled = tuple[list[int], list[float], FinishReason]

_RESET_PAUSES = (0.05, 0.2, 1.0, None)


class _Down(Exception):
    """A server cannot be reached, but another one can."""


class VllmEngine:
    """Serves one policy from vLLM servers; see `agentrl.engines.base.Engine`."""

    takes_directory: ClassVar[bool] = True
    """It is given the model's directory, as the learner's module is in another process."""

    def __init__(
        self,
        model: str | Path,
        *,
        urls: Sequence[str] = (),
        max_batch: int = 128,
        version: int = 0,
        request_seconds: float = 600.0,
        weights_folder: str | Path | None = None,
        served_name: str | None = None,
        api_key: str | None = None,
        **server: Any,
    ) -> None:
        """Attach to running servers, or start one and wait until it answers.

        Args:
            model: The model's directory, or its name in the local Hugging Face cache.
            urls: Of running servers, such as `http://127.0.0.1:8000`; none: start one here.
            max_batch: Sequences that each server decodes together.
            version: The policy version of the weights that are served now.
            request_seconds: Deadline of one completion.
            weights_folder: Where weights are handed over, seen by the servers under the same
                path; None: shared memory of this machine.
            served_name: The model's name on running servers; None: the only one they have.
            api_key: Of running servers.
            server: How to start one: see `agentrl.engines.vllm.servers.own`.

        Raises:
            ModelError: The model's directory is missing or damaged.
            MissingExtraError: A server is to be started and vLLM is not installed.
            ConfigError: A setting is wrong, or a server does not serve the policy.
            EngineFault: A server does not answer, or ended while starting.
        """
        _check_options(max_batch, request_seconds, server)
        reference = read_reference(model)
        self.vocabulary = reference.vocabulary
        self._servers: Servers = (
            attach(urls, reference, served_name=served_name, api_key=api_key, options=server)
            if urls
            else own(reference, max_batch=max_batch, **server)
        )
        self.context_length = self._servers.context_length
        # A few more than it decodes, so that its next one waits there and not here.
        in_flight = max_batch + max(2, max_batch // 8)
        self._clients = [
            VllmClient(url, in_flight=in_flight, api_key=api_key) for url in self._servers.urls
        ]
        self._router = Router(len(self._clients))
        self._gate = Gate()
        self._folder = WeightFolder(reference, Path(weights_folder) if weights_folder else None)
        self._loading = asyncio.Lock()
        self._version = version
        self._request_seconds = request_seconds
        self._torn = ""

    @property
    def policy_version(self) -> int:
        """The version of the weights served now."""
        return self._version

    @property
    def urls(self) -> list[str]:
        """Where the servers answer."""
        return list(self._servers.urls)

    async def generate(self, request: Request) -> Completion:
        """Sample one completion.

        Raises:
            ConfigError: Prompt and limits do not fit the context, or a setting is out of range.
            EngineFault: The server failed, or the engine is closed.
        """
        self._gate.check_open()
        check_request(request, self.vocabulary, self.context_length)
        async with self._gate.passage(self._request_seconds):
            ids, logprobs, reason = await self._somewhere(
                request.session, lambda client, name: self._sample(client, name, request)
            )
            version = self._version
        return Completion(
            np.asarray(ids, np.int32), np.minimum(logprobs, 0, dtype=np.float32), reason, version
        )

    async def score(self, token_ids: Ids) -> Logprobs:
        """Return log p(id_k | ids before) at temperature 1, k ≥ 1, shape [len(token_ids) - 1].

        Raises:
            ConfigError: The ids do not fit the context or the vocabulary.
            EngineFault: The server failed, or the engine is closed.
        """
        self._gate.check_open()
        check_ids(token_ids, "sequence", self.vocabulary)
        if len(token_ids) > self.context_length:
            raise ConfigError(
                f"a sequence of {len(token_ids)} ids does not fit the context of "
                f"{self.context_length}; score shorter ones"
            )
        if len(token_ids) == 1:
            return np.empty(0, np.float32)
        async with self._gate.passage(self._request_seconds):
            return await self._somewhere(
                "", lambda client, name: _score(client, name, token_ids, self.context_length)
            )

    async def load_weights(self, version: int, weights: Mapping[str, Any] | Path) -> None:
        """Serve these weights as policy `version`; what is running finishes on the old ones.

        Raises:
            ModelError: The weights do not belong to this model.
            ConfigError: They cannot be handed over.
            EngineFault: A server could not take them, or the engine is closed.
        """
        self._gate.check_open()
        async with self._loading:
            if isinstance(weights, Path):
                folder = await asyncio.to_thread(self._folder.check, weights)
            else:
                folder = await asyncio.to_thread(self._folder.write, version, weights)
            try:
                async with self._gate.drained():
                    await self._reload(folder)
                    self._version = version
            finally:
                await asyncio.to_thread(self._folder.drop, folder)

    async def pause(self) -> None:
        """Finish what is running and start nothing new, scores included, until `resume`."""
        await self._gate.pause()

    async def resume(self) -> None:
        """Go on after `pause`."""
        self._gate.resume()

    async def release(self, session: str) -> None:
        """Forget which server an episode was on; its cache there gives way when room is needed."""
        self._router.release(session)

    async def close(self) -> None:
        """Fail what is running, and stop the server if it is ours."""
        self._gate.close()
        await asyncio.sleep(0)
        for client in self._clients:
            await client.close()
        await asyncio.to_thread(self._servers.stop)
        self._folder.close()

    async def _somewhere(self, session: str, work: Callable[[VllmClient, str], Awaitable[T]]) -> T:
        """Do some work on the session's server, or on another one if that cannot be reached."""
        if self._torn:
            raise EngineFault(self._torn)
        while True:
            try:
                with self._router.lease(session) as index:
                    return await self._on(index, work)
            except _Down:
                continue
            except EngineFault as fault:
                raise self._servers.explained(fault) from None

    async def _on(self, index: int, work: Callable[[VllmClient, str], Awaitable[T]]) -> T:
        try:
            return await work(self._clients[index], self._servers.name)
        except Unreachable:
            # Back at the next weight update: until then it may hold other weights.
            self._router.suspend(index)
            if not self._router.up:
                raise
            raise _Down from None

    async def _sample(self, client: VllmClient, name: str, request: Request) -> Sampled:
        prompt = request.prompt_ids.tolist()
        sampling = request.sampling
        if request.choices is None:
            answer = await client.complete(sampling_body(name, prompt, sampling))
            ids, logprobs = sampled(answer, client.url)
            return ids, logprobs, _reason(ids, sampling, client.url)

        async def ask(before: list[int], allowed: list[int], step: int) -> tuple[int, float]:
            seed = step_seed(sampling.seed, step)
            one = replace(sampling, max_tokens=1, stop_ids=(), seed=seed)
            body = sampling_body(name, prompt + before, one, allowed_token_ids=allowed)
            ids, logprobs = sampled(await client.complete(body), client.url)
            if len(ids) != 1 or ids[0] not in allowed:
                raise EngineFault(f"the server at {client.url} sampled an id that is not allowed")
            return ids[0], logprobs[0]

        return await decode_choices(request.choices, sampling.max_tokens, ask)

    async def _reload(self, folder: Path) -> None:
        """Have all servers that can be reached take the weights, and forget what older ones did."""
        self._torn = "the server lost its weights in an update that failed; load them again"
        outcomes = await asyncio.gather(
            *(_take(client, folder) for client in self._clients), return_exceptions=True
        )
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Unreachable):
                self._router.suspend(index)
            elif isinstance(outcome, EngineFault):
                raise self._servers.explained(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                self._router.restore(index)
        if not self._router.up:
            raise self._servers.explained(next(o for o in outcomes if isinstance(o, EngineFault)))
        self._torn = ""


def _check_options(max_batch: int, request_seconds: float, server: Mapping[str, Any]) -> None:
    if max_batch < 1:
        raise ConfigError(f"engine max_batch must be at least 1, not {max_batch}")
    if request_seconds <= 0:
        raise ConfigError(f"engine request_seconds must be above 0, not {request_seconds}")
    check_server_options(server)


async def _take(client: VllmClient, folder: Path) -> None:
    await client.reload_weights(str(folder))
    for pause in _RESET_PAUSES:
        if await client.reset_prefix_cache():
            return
        if pause is None:
            raise EngineFault(
                f"the server at {client.url} keeps activations of older weights: others use it too"
            )
        await asyncio.sleep(pause)


async def _score(client: VllmClient, name: str, ids: Ids, context_length: int) -> Logprobs:
    """Score ids; vLLM samples one more, for which a sequence of full length leaves no room."""
    if len(ids) < context_length:
        answer = await client.complete(scoring_body(name, ids.tolist()))
        return prompt_scores(answer, ids, client.url)
    last = int(ids[-1])
    # Of the one that is sampled in vain it says what the last id's probability is.
    body = scoring_body(name, ids[:-1].tolist(), logprob_token_ids=[last]) | {"logprobs": 1}
    answer = await client.complete(body)
    scores = prompt_scores(answer, ids[:-1], client.url)
    return np.append(scores, np.float32(next_score(answer, last, client.url)))


def _reason(ids: list[int], sampling: Sampling, url: str) -> FinishReason:
    if ids[-1] in sampling.stop_ids:
        return "stop"
    if len(ids) < sampling.max_tokens:
        raise EngineFault(
            f"the server at {url} stopped at id {ids[-1]}, which is no stop id; start it with "
            "--generation-config vllm"
        )
    return "length"
