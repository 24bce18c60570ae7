"""Asks an endpoint which models it has, before anything is played."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from agentrl.engines.connections import Reply, certificates, environment_proxy
from agentrl.engines.openai.options import Endpoint
from agentrl.engines.openai.refusals import explain, is_page, read_refusal
from agentrl.engines.openai.wire import read_json
from agentrl.errors import AgentRLError, ConfigError, EngineFault, one_line

_SECONDS = 20.0


def find_model(endpoint: Endpoint, wanted: str | None) -> str:
    """Return the model to ask for, once something answers there that can have it.

    Args:
        endpoint: Where.
        wanted: A model's name; None: the endpoint's only one. A list that does not have it proves
            nothing, as some are incomplete: the first request will tell.

    Raises:
        EngineFault: Nothing answers.
        ConfigError: It is no OpenAI-compatible API, refuses the key, or has several models; or
            the environment's proxy or certificates cannot be used.
    """
    try:
        reply = _ask(endpoint, endpoint.url)
    except httpx.HTTPError as error:
        raise EngineFault(
            f"nothing answers at {endpoint.url} ({one_line(error)}); is it running, and is the URL "
            f"right?{_detour(endpoint.url)}"
        ) from None
    names = _names(reply)
    if names is None:
        _refuse(reply, endpoint, wanted)
    if wanted is not None:
        return wanted
    if not names or len(names) != 1:
        shown = ", ".join(names[:20]) if names else "no list of its models"
        raise ConfigError(
            f"{endpoint.url} has {shown}; name the model: agentrl eval --model NAME "
            f"engine=openai engine.options.base_url={endpoint.url}"
        )
    return names[0]


def offered_models(endpoint: Endpoint) -> list[str] | None:
    """Return the models that an endpoint lists; None where it has no list."""
    try:
        return _names(_ask(endpoint, endpoint.url))
    except httpx.HTTPError:
        return None


def _detour(url: str) -> str:
    """Return what to know of the proxy on the way to a URL; nothing where there is none."""
    proxy = environment_proxy(url)
    if proxy is None:
        return ""
    # The host alone: a proxy's URL can hold a password.
    return (
        f" It was asked through the proxy {urlsplit(proxy).hostname}, which the environment names; "
        f"NO_PROXY={urlsplit(url).hostname} goes without"
    )


def _refuse(reply: Reply, endpoint: Endpoint, wanted: str | None) -> None:
    """Raise where an answer without a list shows that no chat request can succeed."""
    if reply.status in (401, 403):
        raise _why(reply, endpoint)
    if not endpoint.url.endswith("/v1") and _has_list(endpoint, f"{endpoint.url}/v1"):
        raise ConfigError(
            f"there is no OpenAI-compatible API at {endpoint.url}, but at {endpoint.url}/v1: "
            "use that"
        )
    if is_page(reply) and reply.status < 500:
        raise ConfigError(
            f"what answers at {endpoint.url} is no OpenAI-compatible API: it sent a web page; "
            "a URL is http://host:8000/v1"
        )
    if wanted is None and reply.status >= 300 and reply.status != 404:
        raise _why(reply, endpoint)


def _why(reply: Reply, endpoint: Endpoint) -> AgentRLError:
    return explain(read_refusal(reply, endpoint), endpoint, {"model": ""})


def _has_list(endpoint: Endpoint, url: str) -> bool:
    try:
        return _names(_ask(endpoint, url)) is not None
    except httpx.HTTPError:
        return False


def _ask(endpoint: Endpoint, url: str) -> Reply:
    with httpx.Client(
        headers=endpoint.headers,
        timeout=_SECONDS,
        verify=certificates(url) or False,
        proxy=environment_proxy(url),
        trust_env=False,
    ) as http:
        response = http.get(f"{url}/models")
    return Reply(response.status_code, response.headers, response.content)


def _names(reply: Reply) -> list[str] | None:
    """Return the models in an answer; None where it holds no list.

    Adapters are left out, and what can neither be shown nor name a file.
    """
    if reply.status != 200:
        return None
    try:
        content: Any = read_json(reply.content)
    except ValueError:
        return None
    cards = content.get("data") if isinstance(content, dict) else None
    if not isinstance(cards, list):
        return None
    known = [card for card in cards if isinstance(card, dict) and isinstance(card.get("id"), str)]
    names = [card["id"] for card in known if not card.get("parent")]
    return [name for name in names if name and name.isprintable()]
