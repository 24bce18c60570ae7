"""What an endpoint is asked before anything is played."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrl.engines.openai.options import find_endpoint, read_options
from agentrl.engines.openai.probe import find_model, offered_models
from agentrl.errors import ConfigError, EngineFault


async def probe(url: str, wanted: str | None = None, **options: Any) -> str:
    place = find_endpoint(read_options({"base_url": url, **options}))
    return await asyncio.to_thread(find_model, place, wanted)


async def test_the_only_model_needs_no_name(make_endpoint) -> None:
    endpoint = await make_endpoint()
    assert await probe(endpoint.url) == "parrot"
    assert await probe(f"{endpoint.url}/chat/completions") == "parrot"
    # Lists are incomplete now and then: the first request will tell.
    assert await probe(endpoint.url, "gull") == "gull"


async def test_the_environments_proxy_is_asked(make_endpoint, monkeypatch) -> None:
    proxy = await make_endpoint()
    for name in ("HTTP_PROXY", "http_proxy", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
    # A proxy is asked for the whole URL.
    proxy.prefix = "http://birds.invalid/v1"
    assert await probe("http://birds.invalid/v1") == "parrot"


async def test_several_models_need_one(make_endpoint) -> None:
    endpoint = await make_endpoint(models=("parrot", "crow"))
    with pytest.raises(ConfigError, match="has parrot, crow; name the model"):
        await probe(endpoint.url)
    assert await probe(endpoint.url, "crow") == "crow"


async def test_adapters_are_no_models(make_endpoint, respond) -> None:
    cards = [{"id": "parrot"}, {"id": "lora", "parent": "parrot"}, "what?", {"id": 5}]
    endpoint = await make_endpoint(models_fault=respond(200, {"data": cards}))
    assert await probe(endpoint.url) == "parrot"


async def test_names_that_cannot_be_shown_are_none(make_endpoint, respond) -> None:
    cards = [{"id": "parrot"}, {"id": "\ud800"}, {"id": "a\nb"}, {"id": ""}]
    endpoint = await make_endpoint(models_fault=respond(200, {"data": cards}))
    assert await probe(endpoint.url) == "parrot"
    endpoint.models_fault = respond(200, {"data": cards[1:2]})
    with pytest.raises(ConfigError, match="name the model"):
        await probe(endpoint.url)


async def test_no_list(make_endpoint) -> None:
    endpoint = await make_endpoint(models=None)
    assert await probe(endpoint.url, "parrot") == "parrot"
    with pytest.raises(ConfigError, match="no list of its models; name the model"):
        await probe(endpoint.url)


async def test_the_url_without_v1(make_endpoint) -> None:
    endpoint = await make_endpoint()
    with pytest.raises(ConfigError, match=rf"but at {endpoint.url}: use that"):
        await probe(endpoint.url.removesuffix("/v1"), "parrot")


@pytest.mark.parametrize("wanted", [None, "parrot"])
async def test_a_web_page(make_endpoint, respond, wanted: str | None) -> None:
    endpoint = await make_endpoint(models_fault=respond(200, b"<html>welcome"))
    with pytest.raises(ConfigError, match="no OpenAI-compatible API: it sent a web page"):
        await probe(endpoint.url, wanted)


async def test_a_key_that_is_missing_or_wrong(make_endpoint, monkeypatch) -> None:
    endpoint = await make_endpoint(key="right-secret")
    with pytest.raises(ConfigError, match="no API key was sent: put it into an environment var"):
        await probe(endpoint.url)
    monkeypatch.setenv("BIRD_KEY", "wrong-secret")
    with pytest.raises(ConfigError, match="in the environment variable BIRD_KEY") as caught:
        await probe(endpoint.url, api_key_env="BIRD_KEY")
    assert "wrong-secret" not in str(caught.value)
    monkeypatch.setenv("BIRD_KEY", "right-secret")
    assert await probe(endpoint.url, api_key_env="BIRD_KEY") == "parrot"


async def test_an_endpoint_that_is_ill_but_asked_for_by_name(make_endpoint, respond) -> None:
    endpoint = await make_endpoint(models_fault=respond(503, {"error": "later"}))
    assert await probe(endpoint.url, "parrot") == "parrot"
    with pytest.raises(ConfigError, match="status 503"):
        await probe(endpoint.url)


async def test_nothing_listens(make_endpoint) -> None:
    endpoint = await make_endpoint()
    await endpoint.stop()
    with pytest.raises(EngineFault, match=r"nothing answers at .*is the URL right\?"):
        await probe(endpoint.url)
    place = find_endpoint(read_options({"base_url": endpoint.url}))
    assert offered_models(place) is None


async def test_nothing_listens_where_the_proxy_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(EngineFault) as caught:
        await probe("http://models.example/v1")
    assert "asked through the proxy 127.0.0.1," in str(caught.value)
    assert "NO_PROXY=models.example" in str(caught.value)
    assert "secret" not in str(caught.value)
