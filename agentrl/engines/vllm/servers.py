"""The servers behind an engine: running ones at their URLs, or one that we start and stop."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from agentrl.engines.vllm.command import ServerOptions
from agentrl.engines.vllm.probe import probe_server
from agentrl.engines.vllm.process import Say, ServerProcess, free_port
from agentrl.engines.vllm.reference import Reference
from agentrl.errors import ConfigError, EngineFault, did_you_mean


@dataclass(slots=True)
class Servers:
    """Where the policy is served."""

    urls: list[str]
    name: str
    """The model's name in requests."""
    context_length: int
    """The smallest of the servers'."""
    process: ServerProcess | None = None
    """The server that is ours."""

    def explained(self, fault: EngineFault) -> EngineFault:
        """Return the fault, or what is behind it where our server has ended."""
        if self.process is None or self.process.status is None:
            return fault
        return EngineFault(f"the vLLM server {self.process.describe_end()}")

    def stop(self) -> None:
        """Stop the server if it is ours."""
        if self.process is not None:
            self.process.stop()


def attach(
    urls: Sequence[str],
    reference: Reference,
    *,
    served_name: str | None = None,
    api_key: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Servers:
    """Return running servers, each of which serves the policy.

    Args:
        urls: Where they answer, with or without `/v1`.
        reference: The policy.
        served_name: The model's name in requests; None: the only one they have.
        api_key: Sent with each request.
        options: Meant for a server of our own; only those that hold for both are used.

    Raises:
        ConfigError: A URL is wrong, or a server does not serve the policy.
        EngineFault: A server does not answer.
    """
    places = [_clean(url) for url in ([urls] if isinstance(urls, str) else urls)]
    if len(set(places)) < len(places):
        raise ConfigError(f"engine urls name a server twice: {', '.join(places)}")
    asked = (options or {}).get("context_length")
    unused = sorted(set(options or {}) - {"context_length", "dtype", "log", "say"})
    if unused:
        raise ConfigError(
            f"the engine option {unused[0]!r} is for a server that agentrl starts, but urls name "
            "running ones; leave out one of them"
        )
    facts = [
        probe_server(url, vocabulary=reference.vocabulary, name=served_name, api_key=api_key)
        for url in places
    ]
    names = sorted({fact.name for fact in facts})
    if len(names) > 1:
        raise ConfigError(
            f"the servers call their models {' and '.join(names)}; start them with the same "
            "--served-model-name"
        )
    return Servers(places, names[0], _within(asked, min(fact.context_length for fact in facts)))


def own(
    reference: Reference,
    *,
    max_batch: int,
    context_length: int | None = None,
    dtype: str | None = None,
    port: int | None = None,
    python: str | None = None,
    server: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    start_seconds: float = 900.0,
    log: str | Path | None = None,
    say: Say | None = None,
) -> Servers:
    """Start a server for the policy, and return it once it answers.

    Args:
        reference: The policy.
        max_batch: Sequences decoded together.
        context_length: Most ids of prompt and completion; None: the model's own limit.
        dtype: Type of the weights, such as `bfloat16`; None: the checkpoint's.
        port: Where it listens on this machine; None: any free port.
        python: An interpreter that has vLLM, if ours has not.
        server: More of vLLM's command-line options, such as `gpu_memory_utilization: 0.4`.
        environment: More environment variables for it.
        start_seconds: How long it may take to start.
        log: Takes what it prints; None: a temporary file.
        say: Told how the start goes; None: standard error.

    Raises:
        MissingExtraError: vLLM is not installed.
        ConfigError: The port is in use, or the server does not serve the policy.
        EngineFault: The server ended while starting, or took too long.
    """
    limit = reference.context_length
    if limit is None and context_length is None:
        raise ConfigError("the model names no context length; set the engine's context_length")
    settings = ServerOptions(
        model=reference.path,
        port=free_port(port),
        context_length=_within(context_length, limit or context_length or 0),
        max_batch=max_batch,
        dtype=dtype or "auto",
        python=python,
        arguments=server or {},
        environment=environment or {},
    )
    process = ServerProcess(
        settings.command(),
        environment=settings.full_environment(),
        url=settings.url,
        log=Path(log) if log is not None else None,
    )
    try:
        process.wait_ready(start_seconds, say or _to_stderr)
        facts = probe_server(settings.url, vocabulary=reference.vocabulary)
    except BaseException:
        process.stop()
        raise
    return Servers([settings.url], facts.name, facts.context_length, process)


def check_server_options(options: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for an option that `own` does not know."""
    known = set(signature(own).parameters) - {"reference", "max_batch"}
    unknown = sorted(set(options) - known)
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise ConfigError(
            f"the vllm engine has no option {unknown[0]!r}; {hint} (vLLM's own go into 'server')"
        )


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


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
