"""Asks an endpoint which models it has, before anything is played."""

from __future__ import annotations

from typing import Any

import httpx

from agentrl.engines.openai.options import Endpoint
from agentrl.engines.openai.refusals import explain, is_page, read_refusal
from agentrl.engines.openai.wire import read_json
from agentrl.errors import AgentRLError, ConfigError, EngineFault

_SECONDS = 20.0


def find_model(endpoint: Endpoint, wanted: str | None) -> str:
    """Return the model to ask for, once something answers there that can have it.

    Args:
        endpoint: Where.
        wanted: A model's name; None: the endpoint's only one. A list that does not have it proves
            nothing, as some are incomplete: the first request will tell.

    Raises:
        EngineFault: Nothing answers.
        ConfigError: It is no OpenAI-compatible API, refuses the key, or has several models.
    """
    try:
        response = _ask(endpoint, endpoint.url)
    except httpx.HTTPError as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise EngineFault(
            f"nothing answers at {endpoint.url} ({words}); is it running, and is the URL right?"
        ) from None
    names = _names(response)
    if names is None:
        _refuse(response, endpoint, wanted)
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


def _refuse(response: httpx.Response, endpoint: Endpoint, wanted: str | None) -> None:
    """Raise where an answer without a list shows that no chat request can succeed."""
    if response.status_code in (401, 403):
        raise _why(response, endpoint)
    if not endpoint.url.endswith("/v1") and _has_list(endpoint, f"{endpoint.url}/v1"):
        raise ConfigError(
            f"there is no OpenAI-compatible API at {endpoint.url}, but at {endpoint.url}/v1: "
            "use that"
        )
    if is_page(response) and response.status_code < 500:
        raise ConfigError(
            f"what answers at {endpoint.url} is no OpenAI-compatible API: it sent a web page; "
            "a URL is http://host:8000/v1"
        )
    if wanted is None and response.status_code >= 300 and response.status_code != 404:
        raise _why(response, endpoint)


def _why(response: httpx.Response, endpoint: Endpoint) -> AgentRLError:
    return explain(read_refusal(response, endpoint), endpoint, {"model": ""})


def _has_list(endpoint: Endpoint, url: str) -> bool:
    try:
        return _names(_ask(endpoint, url)) is not None
    except httpx.HTTPError:
        return False


def _ask(endpoint: Endpoint, url: str) -> httpx.Response:
    with httpx.Client(headers=endpoint.headers, timeout=_SECONDS, **endpoint.connection) as http:
        return http.get(f"{url}/models")


def _names(response: httpx.Response) -> list[str] | None:
    """Return the models in an answer, adapters left out; None where it holds no list."""
    if response.status_code != 200:
        return None
    try:
        content: Any = read_json(response.content)
    except ValueError:
        return None
    cards = content.get("data") if isinstance(content, dict) else None
    if not isinstance(cards, list):
        return None
    known = [card for card in cards if isinstance(card, dict) and isinstance(card.get("id"), str)]
    return [card["id"] for card in known if not card.get("parent")]
