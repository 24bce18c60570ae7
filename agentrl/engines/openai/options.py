"""The engine's options, and the endpoint they name: where it is and which key goes there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from agentrl.config.files import build_section
from agentrl.config.section import Section
from agentrl.engines.connections import host_of
from agentrl.errors import ConfigError

OPENAI_URL = "https://api.openai.com/v1"
URL_VARIABLE, KEY_VARIABLE = "OPENAI_BASE_URL", "OPENAI_API_KEY"

_OURS = frozenset(
    {"model", "messages", "stream", "n", "temperature", "top_p", "top_k", "seed", "max_tokens"}
    | {"max_completion_tokens"}
)
"""Fields of a request that have a setting of their own."""


class Options(Section):
    """Keyword arguments of the engine: `engine.options` in a configuration."""

    base_url: str | None = None
    """Such as `http://host:8000/v1`; None: `OPENAI_BASE_URL`, else OpenAI's own."""
    api_key_env: str | None = None
    """Names the environment variable that holds the key; None: `OPENAI_API_KEY`, which is sent to
    OpenAI and to what `OPENAI_BASE_URL` names, and nowhere else."""
    requests_per_minute: float | None = Field(None, ge=1)
    """None: no limit of ours."""
    tokens_per_minute: float | None = Field(None, ge=1)
    """Prompt and completion together; None: no limit of ours."""
    max_concurrency: int = Field(16, ge=1)
    """Requests in flight."""
    retries: int = Field(6, ge=0)
    """How often a request is sent again after 429, 5xx or a lost connection."""
    request_seconds: float = Field(300.0, gt=0)
    """Deadline of one answer; waiting for a rate limit does not count."""
    context_length: int | None = Field(None, ge=1)
    """Tokens of prompt and completion together, estimated from the endpoint's counts; None: the
    endpoint refuses what is too long."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """More fields of each request, such as `{reasoning_effort: low}`."""
    omit: tuple[Literal["temperature", "top_p", "seed", "max_tokens"], ...] = ()
    """Fields that are not sent."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go."""

    url: str
    """Without a slash at the end."""
    key: str = field(repr=False)
    """Empty: none is sent."""
    key_source: str
    """The environment variable that a key comes from, or would."""

    @property
    def name(self) -> str:
        """The URL without scheme and `/v1`, for people and file names."""
        return self.url.partition("://")[2].removesuffix("/v1")

    @property
    def headers(self) -> dict[str, str]:
        """What authenticates a request."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def hide(self, text: str) -> str:
        """Return a text without the key: some endpoints repeat it."""
        return text.replace(self.key, "***") if self.key else text


def read_options(options: Mapping[str, Any]) -> Options:
    """Return validated options.

    Raises:
        ConfigError: An option is unknown or wrong.
    """
    read = build_section(Options, options, "engine.options of openai")
    taken = sorted(_OURS & set(read.extra))
    if taken:
        raise ConfigError(
            f"engine.options.extra cannot set {taken[0]!r}, which has a setting of its own: see "
            "the sections sampling and dialogue"
        )
    return read


def find_endpoint(options: Options) -> Endpoint:
    """Return the endpoint that options and environment name.

    Raises:
        ConfigError: The URL cannot be one, or the variable for the key is not set.
    """
    set_url = os.environ.get(URL_VARIABLE, "")
    url = _checked(options.base_url or set_url or OPENAI_URL)
    known = {OPENAI_URL, *([_checked(set_url)] if set_url else [])}
    source = options.api_key_env or KEY_VARIABLE
    is_meant = options.api_key_env is not None or url in known
    key = os.environ.get(source, "").strip() if is_meant else ""
    if options.api_key_env is not None and not key:
        raise ConfigError(
            f"the environment variable {source} (engine.options.api_key_env) is not set"
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"the environment variable {source} holds no API key; look at its value")
    return Endpoint(url, key, source)


def is_url(text: str) -> bool:
    """Return whether a word on the command line is meant as an endpoint's URL."""
    return text.startswith(("http://", "https://"))


def _checked(url: str) -> str:
    """Return a URL in the form that results are kept under."""
    host = host_of(url)
    if host is None or not is_url(url) or any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigError(f"{url[:100]!r} is no URL of an endpoint; one is http://host:8000/v1")
    parts = urlsplit(url)
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(
            f"the URL of {host} holds more than a place; write http://host:8000/v1 and put the "
            "API key into an environment variable (engine.options.api_key_env)"
        )
    return url.rstrip("/").removesuffix("/chat/completions").rstrip("/")
