"""Which proxy the environment means; the connections themselves are tested with their engines."""

from __future__ import annotations

import pytest

from agentrl.engines.connections import environment_proxy
from agentrl.errors import ConfigError

URL = "https://models.example/v1"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("set_to", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://gate:3128"}, "http://gate:3128"),
        ({"https_proxy": "https://gate:3128"}, "https://gate:3128"),
        ({"ALL_PROXY": "gate:3128"}, "http://gate:3128"),
        ({"HTTP_PROXY": "http://gate:3128"}, None),
        ({"HTTPS_PROXY": "http://gate:3128", "NO_PROXY": "models.example"}, None),
        ({"ALL_PROXY": "http://other:1", "HTTPS_PROXY": "http://gate:3128"}, "http://gate:3128"),
        ({"ALL_PROXY": "socks5://gate:1080", "NO_PROXY": ".example"}, None),
    ],
)
def test_the_proxy_of_the_environment(
    set_to: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy(URL) == proxy


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000"])
def test_none_on_the_way_to_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://gate:3128")
    assert environment_proxy(f"http://{host}/v1") is None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_speaks_no_http_is_one_clear_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "socks5://me:secret@gate:1080")
    with pytest.raises(ConfigError) as caught:
        environment_proxy(URL)
    assert str(caught.value) == (
        f"{name} names a proxy of kind socks5, of which none is used; name an http:// one, or set "
        "NO_PROXY=models.example"
    )
