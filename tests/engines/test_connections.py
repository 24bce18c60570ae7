"""Which proxy the environment means; the connections themselves are tested with their engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrl.engines.connections import certificates, environment_proxy
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


@pytest.mark.parametrize("value", ["http://me:secret@[bad", "gate:99999999", "http://gate..x:1"])
def test_a_proxy_that_is_no_url_is_one_clear_line(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", value)
    with pytest.raises(ConfigError) as caught:
        environment_proxy(URL)
    assert str(caught.value) == (
        "HTTPS_PROXY holds no URL of a proxy; one is http://host:3128, or set "
        "NO_PROXY=models.example"
    )


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_are_none_are_one_clear_line(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ours.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert certificates("http://models.example/v1") is None
    with pytest.raises(ConfigError) as caught:
        certificates(URL)
    shown = str(caught.value)
    assert f"{path}, which the environment variable SSL_CERT_FILE names (" in shown
    assert shown.endswith("); correct it, or unset it")
    assert "None" not in shown
    assert "\n" not in shown
