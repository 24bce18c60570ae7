"""The vLLM engine: the policy behind one or several servers, owned or attached.

A completion names the version of the weights that sampled each of its ids. How an update meets what
is running depends on the transport: adapters come beside those of older versions, and nothing
waits; whole weights take the place of the old ones, and the gate is shut meanwhile. What runs then
is waited for, or, where the deployment interrupts, broken off and gone on with under the new
weights.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from agentrl.engines.base import Completion, Deployment, Ids, Logprobs, Request, Weights
from agentrl.engines.vllm.checks import check_ids, check_options, check_request
from agentrl.engines.vllm.client import Lost, VllmClient
from agentrl.engines.vllm.command import has_nvidia
from agentrl.engines.vllm.gate import Gate
from agentrl.engines.vllm.lease import Lease
from agentrl.engines.vllm.reference import read_reference
from agentrl.engines.vllm.sampling import Interrupted, finish_reason, sample, score
from agentrl.engines.vllm.servers import attach, client_of, find_servers, own, to_stderr
from agentrl.engines.vllm.supervisor import Supervisor
from agentrl.engines.vllm.transports import choose
from agentrl.engines.vllm.transports.base import Staged, together
from agentrl.engines.vllm.transports.folder import load_folder
from agentrl.engines.vllm.weight_folder import WeightFolder
from agentrl.engines.vllm.wire import Sampled
from agentrl.errors import ConfigError, EngineFault

T = TypeVar("T")
Work = Callable[[VllmClient, Lease], Awaitable[T]]
"""What is done on a server with the weights of a lease."""

_ATTEMPTS = 3
"""So often one request is sent before it is taken to be what servers die of."""
_ABORT_SECONDS = 0.05
"""Between calls that break off what reached a server only after the one before."""


class VllmEngine:
    """Serves one policy from vLLM servers; see `agentrl.engines.base.Engine`."""

    takes_directory: ClassVar[bool] = True
    """It is given the model's directory, as the learner's module is in another process."""
    option_sources: ClassVar = (own, attach)
    """What `server` of the constructor goes on to; see `agentrl.engines.options`."""

    def __init__(
        self,
        model: str | Path,
        *,
        urls: str | Sequence[str] = (),
        max_batch: int = 128,
        version: int = 0,
        deployment: Deployment | None = None,
        transport: str = "auto",
        request_seconds: float = 600.0,
        stall_seconds: float = 120.0,
        weights_folder: str | Path | None = None,
        **server: Any,
    ) -> None:
        """Attach to running servers, or start one and wait until it answers.

        Args:
            model: The model's directory, or its name in the local Hugging Face cache.
            urls: Of running servers, such as `http://127.0.0.1:8000`; none: start one here.
            max_batch: Sequences that each server decodes together.
            version: The policy version of the weights that are served now.
            deployment: How the run places learner and engine.
            transport: How weights reach the servers: see `transports.choose`.
            request_seconds: Deadline of one completion.
            stall_seconds: A server that has requests, or weights to take, and makes no progress for
                so long is lost.
            weights_folder: Where weights are handed over, a place that the servers see too.
            server: How to start one or find those that run: see `agentrl.engines.vllm.servers`.

        Raises:
            ModelError: The model's directory is missing or damaged.
            MissingExtraError: A server is to be started and vLLM is not installed.
            ConfigError: A setting is wrong, or a server does not serve the policy.
            EngineFault: A server does not answer, or ended while starting.
        """
        check_options(max_batch, request_seconds, stall_seconds)
        self._deployment = deployment or Deployment()
        chosen = choose.choose(transport, self._deployment, is_ours=not urls)
        needs = choose.needs(chosen, self._deployment, on_cuda=has_nvidia())
        reference = read_reference(model)
        self.vocabulary = reference.vocabulary
        fleet = find_servers(reference, urls, max_batch=max_batch, needs=needs, options=server)
        self.context_length = fleet.context_length
        # Running servers convert what they read to a type of their own.
        dtype, say = None if urls else server.get("dtype"), server.get("say") or to_stderr
        folder = WeightFolder(reference, weights_folder, dtype=dtype)
        told = say if transport == "auto" else None
        self._transport = choose.build(chosen, folder, fleet.name, fall_back=told)
        # A few more than it decodes, so that its next one waits there and not here.
        in_flight, key = max_batch + max(2, max_batch // 8), server.get("api_key")
        connect = partial(client_of, in_flight=in_flight, seconds=request_seconds, api_key=key)
        self._servers = Supervisor(fleet.servers, connect, stall_seconds=stall_seconds, say=say)
        self._servers.restore = self._restore
        self._gate, self._loading = Gate(), asyncio.Lock()
        # What servers start with; loaded from there again where they have slept.
        self._home = Staged(version, reference.path, fleet.name)
        self._lease = Lease(version, fleet.name, None)
        self._has_weights, self._torn = True, ""
        self._sleeping: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def policy_version(self) -> int:
        """The version of the weights served now."""
        return self._lease.version

    @property
    def takes_adapters(self) -> bool:
        """Whether weights are given as `Adapters`."""
        return self._transport.takes_adapters

    @property
    def urls(self) -> list[str]:
        """Where the servers answer."""
        return self._servers.urls

    def figures(self) -> dict[str, float]:
        """Return how often servers were lost, and how long they were gone in all."""
        returns = self._servers.returns
        return {"engine/restarts": float(len(returns)), "engine/seconds_down": sum(returns)}

    async def generate(self, request: Request) -> Completion:
        """Sample one completion.

        Raises:
            ConfigError: Prompt and limits do not fit the context, or a setting is out of range.
            EngineFault: The server failed, or the engine is closed.
        """
        self._gate.check_open()
        check_request(request, self.vocabulary, self.context_length)
        ids: list[int] = []
        logprobs: list[float] = []
        versions: list[int] = []

        async def work(client: VllmClient, lease: Lease) -> tuple[Sampled, int]:
            return await sample(client, lease.name, request, ids), lease.version

        is_cut = True
        while is_cut:
            part, version = await self._somewhere(request.session, work)
            ids += part.ids
            logprobs += part.logprobs
            versions += [version] * len(part.ids)
            is_cut = part.is_cut
        return Completion(
            np.asarray(ids, np.int32),
            np.minimum(logprobs, 0, dtype=np.float32),
            finish_reason(ids, request),
            versions[0],
            np.asarray(versions, np.int32) if versions[0] != versions[-1] else None,
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

        async def work(client: VllmClient, lease: Lease) -> Logprobs:
            return await score(client, lease.name, token_ids, self.context_length)

        return await self._somewhere("", work)

    async def load_weights(self, version: int, weights: Weights) -> None:
        """Serve these weights as policy `version`.

        Raises:
            ModelError: The weights do not belong to this model.
            EngineFault: They cannot be written, a server could not take them, or the engine is
                closed.
        """
        self._gate.check_open()
        async with self._loading:
            staged = await asyncio.to_thread(self._transport.stage, version, weights)
            before = self._lease
            try:
                await self._wake("weights")
                if self._transport.stops_sampling:
                    with self._gate.held():
                        await self._quiet()
                        await self._send(staged)
                else:
                    await self._send(staged)
            except BaseException:
                await self._transport.retire([], staged)
                raise
        self._in_background(self._retire(before))

    async def pause(self) -> None:
        """Finish what is running and start nothing new, scores included, until `resume`.

        Where the deployment shares the device, servers then free its memory.
        """
        await self._gate.pause()
        if self._deployment.shares_device and not self._sleeping:
            # Under adapters the weights stay the same, and are kept in the machine's memory.
            level = 1 if self.takes_adapters else 2
            self._sleeping = {"weights", "kv_cache"}
            self._has_weights = level == 1
            await self._each(lambda client: client.control("/sleep", level=str(level), mode="wait"))

    async def resume(self) -> None:
        """Go on after `pause`."""
        await self._wake("weights")
        if not self._has_weights:
            staged = self._lease.staged or self._home
            await self._each(lambda client: load_folder(client, staged))
            self._has_weights = True
        await self._wake("kv_cache")
        self._gate.resume()

    async def release(self, session: str) -> None:
        """Forget which server an episode was on; its cache there gives way when room is needed."""
        self._servers.release(session)

    async def close(self) -> None:
        """Fail what is running, and stop the server if it is ours."""
        self._gate.close()
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await self._servers.close()
        self._transport.close()

    async def _somewhere(self, session: str, work: Work[T]) -> T:
        """Do some work on the session's server, again where that is lost meanwhile."""
        losses = 0
        while True:
            # Outside the gate: a server that comes back is given weights, as an update is.
            with self._gate.closing() as scope:
                async with scope:
                    await self._servers.available()
            async with self._gate.passage():
                # Not before: while an update goes on, it has not failed.
                if self._torn:
                    raise EngineFault(self._torn)
                if not self._servers.clients:
                    continue
                try:
                    return await self._attempt(session, work)
                except Interrupted:
                    continue
                except Lost as lost:
                    losses += 1
                    if losses == _ATTEMPTS:
                        raise EngineFault(f"{lost}, {losses} times with one request") from None

    async def _attempt(self, session: str, work: Work[T]) -> T:
        with self._lease.used() as lease:
            return await self._servers.run(session, lambda client: work(client, lease))

    async def _quiet(self) -> None:
        """Return once nothing is sampled: when it is done, or told to break off."""
        if self._deployment.interrupts:
            await self._each(lambda client: client.control("/pause", mode="abort"))
            while not await self._gate.emptied_within(_ABORT_SECONDS):
                await self._each(lambda client: client.control("/abort_requests", {}))
        await self._gate.emptied()

    async def _send(self, staged: Staged) -> None:
        """Have all servers that are up take weights; others get them when they are back."""
        if self._transport.stops_sampling:
            self._torn = "the server lost its weights in an update that failed; load them again"
        await self._servers.each(lambda clients: self._transport.send(clients, staged))
        self._lease = Lease(staged.version, staged.name, staged)
        self._has_weights, self._torn = True, ""

    async def _restore(self, client: VllmClient) -> None:
        """Give a server that has come back the weights of this moment."""
        async with self._loading:
            if self._lease.staged is not None:
                await self._transport.restore(client, self._lease.staged)

    async def _retire(self, lease: Lease) -> None:
        """Forget older weights, once nothing is sampled with them any more."""
        await lease.unused()
        if lease.staged is not None:
            await self._transport.retire(self._servers.clients, lease.staged)

    async def _wake(self, part: str) -> None:
        """Have servers that sleep take up memory again, for `weights` or the `kv_cache`."""
        if part not in self._sleeping:
            return

        async def wake(client: VllmClient) -> None:
            # One that was started anew meanwhile is awake.
            if (await client.ask("/is_sleeping"))["is_sleeping"]:
                await client.control("/wake_up", tags=[part])

        await self._each(wake)
        self._sleeping.discard(part)

    async def _each(self, work: Callable[[VllmClient], Awaitable[object]]) -> None:
        """Do some work on every server that is up."""
        await self._servers.each(lambda clients: together(work, clients))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
