from __future__ import annotations

from agentrl.data import Download, Silent
from agentrl.data.download import fetch
from agentrl.data.webpage import confirmed, title

PAGE = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>
<body><form id="download-form" action="{action}" method="get">
<input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="1a&amp;b"><input type="hidden" name="confirm" value="t">
</form></body></html>
"""


def test_title() -> None:
    assert title("<TITLE lang='en'> Sign\n in </TITLE>") == "Sign in"
    assert title("plain") == "without a title"
    assert len(title(f"<title>{'x' * 500}</title>")) == 80


def test_the_form_is_followed() -> None:
    page = PAGE.format(action="https://drive.usercontent.google.com/download")
    url = "https://drive.google.com/uc?id=1"
    behind = "https://drive.usercontent.google.com/download?id=1a%26b&confirm=t"
    assert confirmed(page, url) == behind
    assert (
        confirmed(PAGE.format(action="/get"), url)
        == "https://drive.google.com/get?id=1a%26b&confirm=t"
    )


def test_a_form_to_elsewhere_is_not_followed() -> None:
    assert (
        confirmed(PAGE.format(action="https://evil.example/x"), "https://drive.google.com/") is None
    )
    for action in ("javascript:x", "http://[", "//["):
        assert confirmed(PAGE.format(action=action), "https://drive.google.com/") is None


def test_other_pages() -> None:
    for page in (
        "",
        "<form action='/x'><input name='a' value='b'></form>",
        "<form id=download-form>",
    ):
        assert confirmed(page, "https://drive.google.com/") is None


def test_the_file_behind_the_page(host, tmp_path) -> None:
    content = host.files.pop("codes.bin")
    host.files["uc"] = PAGE.format(action="/real").encode()
    host.files["real?id=1a%26b&confirm=t"] = content
    host.pages.add("uc")
    one = Download("codes.bin", (f"{host.url}/uc",))
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
