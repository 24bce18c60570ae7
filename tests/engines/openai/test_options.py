"""Where requests go, and above all where a key does not go."""

from __future__ import annotations

from typing import Any

import pytest

from agentrl.engines.openai.options import OPENAI_URL, find_endpoint, read_options
from agentrl.errors import ConfigError


def key_for(url: str | None, **options: Any) -> str:
    return find_endpoint(read_options({"base_url": url, **options})).key


def test_the_key_goes_to_openai_and_to_what_the_environment_names(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert key_for(None) == "secret"
    assert key_for(f"{OPENAI_URL}/") == "secret"
    assert key_for("http://elsewhere:8000/v1") == ""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere:8000/v1/")
    assert key_for(None) == "secret"
    assert key_for("http://elsewhere:8000/v1") == "secret"
    assert key_for("http://elsewhere:8000/v1", api_key_env="OPENAI_API_KEY") == "secret"
    assert key_for("http://elsewhere.evil:8000/v1") == ""


def test_a_key_is_never_shown(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    endpoint = find_endpoint(read_options({}))
    assert endpoint.headers == {"Authorization": "Bearer secret"}
    assert "secret" not in repr(endpoint)
    assert endpoint.hide("your secret is out") == "your *** is out"


@pytest.mark.parametrize("value", ["se\ncret", "sécret"])
def test_a_key_that_is_none(monkeypatch, value: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds no API key") as caught:
        find_endpoint(read_options({}))
    assert value not in str(caught.value)


def test_a_variable_that_is_not_set() -> None:
    with pytest.raises(ConfigError, match=r"BIRD_KEY \(engine.options.api_key_env\) is not set"):
        find_endpoint(read_options({"api_key_env": "BIRD_KEY"}))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8000", "is no URL"),
        ("http://", "is no URL"),
        ("http://host:many/v1", "is no URL"),
        ("http://a b/v1", "is no URL"),
        ("ftp://host/v1", "is no URL"),
        ("http://api..host/v1", "is no URL"),
        ("http://[v1.x]:1/v1", "is no URL"),
        ("http://xn--:1/v1", "is no URL"),
        (f"http://{'a' * 64}/v1", "is no URL"),
        ("http://user:word@host/v1", "put the API key into an environment variable"),
        ("http://host/v1?key=word", "put the API key into an environment variable"),
    ],
)
def test_urls_that_are_none(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        find_endpoint(read_options({"base_url": url}))
    assert "word@" not in str(caught.value)
    assert "key=word" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retris": 3}, "did you mean 'retries'"),
        ({"retries": -1}, "retries"),
        ({"requests_per_minute": 0.5}, "requests_per_minute: .*greater than or equal to 1"),
        ({"tokens_per_minute": 0.5}, "tokens_per_minute: .*greater than or equal to 1"),
        ({"omit": ["top_k"]}, "omit"),
        ({"extra": {"temperature": 0}}, "cannot set 'temperature'"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_options(options)
