"""The servers behind an engine: running ones at their URLs, or one that we start and stop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

from agentrl.engines.vllm.client import VllmClient
from agentrl.engines.vllm.command import ServerNeeds, ServerOptions
from agentrl.engines.vllm.probe import ServerFacts, probe_server
from agentrl.engines.vllm.process import Say, ServerProcess, free_port
from agentrl.engines.vllm.reference import Reference
from agentrl.errors import ConfigError, EngineFault

_ASK_AGAIN_SECONDS = 1.0


class Server(Protocol):
    """One server. Its methods block."""

    facts: ServerFacts
    """What it said of itself when it was asked last."""

    @property
    def url(self) -> str:
        """Where it answers, without `/v1`."""
        ...

    def revive(self) -> None:
        """Make it answer again, with the weights of its model directory.

        Raises:
            EngineFault: It does not.
            ConfigError: What answers is something else.
        """
        ...

    def explained(self, fault: EngineFault) -> EngineFault:
        """Return the fault, or what is behind it."""
        ...

    def stop(self) -> None:
        """End it if it is ours."""
        ...


class OwnServer:
    """A server that we start, and start again when it is lost."""

    def __init__(
        self,
        options: ServerOptions,
        reference: Reference,
        *,
        start_seconds: float,
        log: Path | None,
        say: Say,
    ) -> None:
        """Start a server and wait until it answers; see `own`."""
        self._options = options
        self._reference = reference
        self._start_seconds = start_seconds
        self._log = log
        self._say = say
        self._is_stopped = False
        self._start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._options.url

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._process.pid

    def revive(self) -> None:
        """Kill what is left of it and start it again; see `Server`."""
        self._process.kill()
        try:
            free_port(self._options.port)
        except ConfigError:
            self._options = replace(self._options, port=free_port(None))
        self._start()

    def explained(self, fault: EngineFault) -> EngineFault:
        """Return the fault, or how the server ended; see `Server`."""
        if self._process.status is None:
            return fault
        return EngineFault(f"the vLLM server {self._process.describe_end()}")

    def stop(self) -> None:
        """End it, and do not start it again."""
        self._is_stopped = True
        self._process.stop()

    def _start(self) -> None:
        self._process = ServerProcess(
            self._options.command(),
            environment=self._options.full_environment(),
            url=self.url,
            log=self._log,
        )
        try:
            # Whoever stops the server while it starts has not seen this process.
            if self._is_stopped:
                raise EngineFault("the engine is closed; make a new one")
            self._process.wait_ready(self._start_seconds, self._say)
            self.facts = probe_server(self.url, self._reference)
        except BaseException:
            self._process.stop()
            raise


class RunningServer:
    """A server of somebody else's."""

    def __init__(
        self,
        url: str,
        reference: Reference,
        *,
        name: str | None,
        api_key: str | None,
        start_seconds: float,
    ) -> None:
        """Ask a running server what it is; see `attach`."""
        self.url = url
        self._reference = reference
        self._name = name
        self._api_key = api_key
        self._start_seconds = start_seconds
        self._is_stopped = False
        self.facts = self._probe()

    def revive(self) -> None:
        """Wait until it answers again; see `Server`."""
        until = time.monotonic() + self._start_seconds
        while True:
            try:
                self.facts = self._probe()
                return
            except EngineFault:
                if self._is_stopped or time.monotonic() > until:
                    raise
                time.sleep(_ASK_AGAIN_SECONDS)

    def explained(self, fault: EngineFault) -> EngineFault:
        """Return the fault."""
        return fault

    def stop(self) -> None:
        """Leave it running."""
        self._is_stopped = True

    def _probe(self) -> ServerFacts:
        return probe_server(self.url, self._reference, name=self._name, api_key=self._api_key)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Servers of one model."""

    servers: Sequence[Server]
    name: str
    """Of the model in requests."""
    context_length: int
    """The smallest of the servers'."""


def find_servers(
    reference: Reference,
    urls: str | Sequence[str],
    *,
    max_batch: int,
    needs: ServerNeeds,
    options: Mapping[str, Any],
) -> Fleet:
    """Return running servers, or one that is started.

    Args:
        reference: The policy.
        urls: Of running servers; none: start one.
        max_batch: Sequences decoded together.
        needs: What a server must be started with.
        options: The other parameters of `attach` or `own`; those that both kinds of run give
            (`dtype`, `log`) are of no use to running servers.

    Raises:
        ConfigError: An option is of the other kind.
    """
    ours, theirs = _options(own), _options(attach)
    for name in options:
        if urls and name in ours - theirs - {"dtype", "log"}:
            raise ConfigError(
                f"the engine option {name!r} is for a server that agentrl starts, but urls name "
                "running ones; leave out one of them"
            )
        if not urls and name in theirs - ours:
            raise ConfigError(f"the engine option {name!r} is for running servers; name their urls")
    if urls:
        taken = {name: value for name, value in options.items() if name not in ours - theirs}
        return attach(urls, reference, **taken)
    return own(reference, max_batch=max_batch, needs=needs, **options)


def attach(
    urls: str | Sequence[str],
    reference: Reference,
    *,
    context_length: int | None = None,
    start_seconds: float = 900.0,
    served_name: str | None = None,
    api_key: str | None = None,
    say: Say | None = None,
) -> Fleet:
    """Return running servers, each of which serves the policy.

    Args:
        urls: Where they answer, with or without `/v1`.
        reference: The policy.
        context_length: Most ids of prompt and completion; None: the servers' own limit.
        start_seconds: How long one that is lost may take to answer again.
        served_name: The model's name in requests; None: the only one they have.
        api_key: Sent with each request.
        say: Told of losses and returns; None: standard error.

    Raises:
        ConfigError: A URL is wrong, or a server does not serve the policy.
        EngineFault: A server does not answer.
    """
    del say
    places = [_clean(url) for url in ([urls] if isinstance(urls, str) else urls)]
    if len(set(places)) < len(places):
        raise ConfigError(f"engine urls name a server twice: {', '.join(places)}")
    servers = [
        RunningServer(
            url, reference, name=served_name, api_key=api_key, start_seconds=start_seconds
        )
        for url in places
    ]
    names = sorted({server.facts.name for server in servers})
    if len(names) > 1:
        raise ConfigError(
            f"the servers call their models {' and '.join(names)}; start them with the same "
            "--served-model-name"
        )
    most = min(server.facts.context_length for server in servers)
    return Fleet(servers, names[0], _within(context_length, most))


def own(
    reference: Reference,
    *,
    max_batch: int,
    needs: ServerNeeds,
    context_length: int | None = None,
    start_seconds: float = 900.0,
    dtype: str | None = None,
    port: int | None = None,
    python: str | None = None,
    server: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    log: str | Path | None = None,
    say: Say | None = None,
) -> Fleet:
    """Start a server for the policy, and return it once it answers.

    Args:
        reference: The policy.
        max_batch: Sequences decoded together.
        needs: What it must be started with.
        context_length: Most ids of prompt and completion; None: the model's own limit.
        start_seconds: How long it may take to start, also when it is lost and started again.
        dtype: Type of the weights, such as `bfloat16`; None: the checkpoint's.
        port: Where it listens on this machine; None: any free port.
        python: An interpreter that has vLLM, if ours has not.
        server: More of vLLM's command-line options, such as `gpu_memory_utilization: 0.4`.
        environment: More environment variables for it.
        log: Takes what it prints; None: a temporary file.
        say: Told how the start goes, of losses and returns; None: standard error.

    Raises:
        MissingExtraError: vLLM is not installed.
        ConfigError: The port is in use, or the server does not serve the policy.
        EngineFault: The server ended while starting, or took too long.
    """
    limit = reference.context_length
    if limit is None and context_length is None:
        raise ConfigError("the model names no context length; set the engine's context_length")
    options = ServerOptions(
        model=reference.path,
        port=free_port(port),
        context_length=_within(context_length, limit or context_length or 0),
        max_batch=max_batch,
        dtype=dtype or "auto",
        python=python,
        arguments={**needs.arguments, **(server or {})},
        environment={**needs.environment, **(environment or {})},
    )
    ours = OwnServer(
        options,
        reference,
        start_seconds=start_seconds,
        log=Path(log) if log is not None else None,
        say=say or to_stderr,
    )
    return Fleet([ours], ours.facts.name, ours.facts.context_length)


def _options(start: Callable[..., Fleet]) -> set[str]:
    return set(signature(start).parameters) - {"urls", "reference", "max_batch", "needs"}


def client_of(server: Server, **options: Any) -> VllmClient:
    """Return a client of a server; the options are those of `VllmClient`."""
    return VllmClient(server.url, packs_head=server.facts.packs_head, **options)


def to_stderr(line: str) -> None:
    """Tell the user a line."""
    print(line, file=sys.stderr, flush=True)


def _within(asked: int | None, most: int) -> int:
    if asked is None:
        return most
    if not 2 <= asked <= most:
        raise ConfigError(f"engine context_length {asked} is not within the server's 2 to {most}")
    return asked


def _clean(url: str) -> str:
    cleaned = url.rstrip("/").removesuffix("/v1")
    if not cleaned.startswith(("http://", "https://")):
        raise ConfigError(f"engine urls must be like http://127.0.0.1:8000, not {url!r}")
    return cleaned
