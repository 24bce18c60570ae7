from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
from pathlib import Path

import pytest

from agentrl.data import Silent, download, space
from agentrl.data.declaration import Download
from agentrl.data.download import fetch
from agentrl.errors import DataError

HALF = 150_000


class Told(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def content(host) -> bytes:
    return host.files["codes.bin"]


@pytest.fixture
def one(host, content) -> Download:
    return Download("codes.bin", (f"{host.url}/codes.bin",), bytes=len(content))


def pinned(one: Download, content: bytes, *urls: str) -> Download:
    return Download("codes.bin", urls or one.urls, sha256=hashlib.sha256(content).hexdigest())


def begin(folder: Path, content: bytes, url: str, validator: str | None = '"one"') -> None:
    """Leave behind what an interrupted download would."""
    (folder / "codes.bin.part").write_bytes(content)
    (folder / "codes.bin.part.json").write_text(json.dumps({"url": url, "validator": validator}))


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def ranges(host) -> list[str | None]:
    return [headers.get("Range") for _, headers in host.requests]


def test_whole_file(host, one, content, tmp_path) -> None:
    file = fetch(one, tmp_path, Silent())
    assert file.read_bytes() == content
    assert names(tmp_path) == {"codes.bin"}
    _, headers = host.requests[0]
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("agentrl/")


def test_a_file_that_is_here_is_not_asked_for(host, one, content, tmp_path) -> None:
    (tmp_path / "codes.bin").write_bytes(content)
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert host.requests == []


def test_a_wrong_file_that_is_here_is_replaced(host, one, content, tmp_path) -> None:
    (tmp_path / "codes.bin").write_bytes(b"old")
    assert fetch(one, tmp_path, Silent()).read_bytes() == content


def test_a_broken_connection_is_resumed(host, one, content, tmp_path) -> None:
    host.cuts = [HALF, 50_000]
    told = Told()
    assert fetch(one, tmp_path, told).read_bytes() == content
    assert host.sent == [HALF, 50_000, 100_000]
    assert ranges(host) == [None, "bytes=150000-", "bytes=200000-"]
    assert host.requests[1][1]["If-Range"] == '"one"'
    assert len(told.lines) == 2
    assert "trying again" in told.lines[0]


def test_the_next_call_resumes(host, one, content, tmp_path) -> None:
    host.cuts = [HALF, 0, 0, 0]
    with pytest.raises(DataError, match=r"nothing is lost: 150\.0 kB of 300\.0 kB are kept"):
        fetch(one, tmp_path, Silent())
    assert (tmp_path / "codes.bin.part").stat().st_size == HALF
    host.cuts, host.sent = [], []
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert host.sent == [HALF]


def test_the_date_serves_where_there_is_no_strong_tag(host, one, content, tmp_path) -> None:
    host.etag, host.modified = 'W/"weak"', "Wed, 21 Oct 2015 07:28:00 GMT"
    host.cuts = [HALF]
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert host.requests[1][1]["If-Range"] == host.modified
    assert host.sent == [HALF, HALF]


def test_without_anything_to_recognise_the_file_it_comes_anew(host, one, content, tmp_path) -> None:
    host.etag = None
    host.cuts = [HALF]
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert ranges(host) == [None, None]


def test_a_hash_allows_resuming_from_any_address(host, one, content, tmp_path) -> None:
    host.etag = None
    begin(tmp_path, content[:HALF], "http://elsewhere/codes.bin", None)
    assert fetch(pinned(one, content), tmp_path, Silent()).read_bytes() == content
    assert host.sent == [HALF]


def test_a_server_without_ranges_starts_over(host, one, content, tmp_path) -> None:
    host.ranges = False
    host.cuts = [HALF]
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert host.sent == [HALF, len(content)]


def test_another_file_under_the_same_address_is_not_joined(host, one, content, tmp_path) -> None:
    begin(tmp_path, b"x" * HALF, one.urls[0], '"old"')
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert host.requests[0][1]["If-Range"] == '"old"'
    assert host.sent == [len(content)]


def test_pieces_of_different_files_are_found_by_the_hash(host, one, content, tmp_path) -> None:
    begin(tmp_path, b"x" * HALF, "http://elsewhere/codes.bin", None)
    assert fetch(pinned(one, content), tmp_path, Silent()).read_bytes() == content
    assert ranges(host) == ["bytes=150000-", None]


def test_a_wrong_piece_starts_over(host, one, content, tmp_path) -> None:
    begin(tmp_path, content[:HALF], one.urls[0])
    host.lies_range = True
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert ranges(host) == ["bytes=150000-", None]


def test_nothing_was_missing(host, one, content, tmp_path) -> None:
    begin(tmp_path, content, one.urls[0])
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert host.sent == [0]


def test_too_much_was_there(host, one, content, tmp_path) -> None:
    begin(tmp_path, content + b"more", one.urls[0])
    assert fetch(one, tmp_path, Silent()).read_bytes() == content


def test_a_damaged_note_is_no_obstacle(host, one, content, tmp_path) -> None:
    (tmp_path / "codes.bin.part").write_bytes(b"x" * HALF)
    (tmp_path / "codes.bin.part.json").write_text("[")
    assert fetch(one, tmp_path, Silent()).read_bytes() == content


def test_a_short_answer_of_untold_length_is_noticed(host, one, content, tmp_path) -> None:
    host.tells_length = False
    host.cuts = [HALF]
    assert fetch(one, tmp_path, Silent()).read_bytes() == content
    assert host.sent == [HALF, HALF]


def test_wrong_hash(host, one, content, tmp_path) -> None:
    wrong = Download("codes.bin", one.urls, sha256="0" * 64)
    with pytest.raises(
        DataError, match=r"has the SHA-256 [0-9a-f]{64}, not 0{64}; it was not kept"
    ):
        fetch(wrong, tmp_path, Silent())
    assert names(tmp_path) == set()


def test_wrong_size_is_seen_before_anything_comes(host, one, tmp_path) -> None:
    wrong = Download("codes.bin", one.urls, bytes=12_345)
    with pytest.raises(DataError, match="has 300,000 bytes, not 12,345"):
        fetch(wrong, tmp_path, Silent())
    assert names(tmp_path) == set()


@pytest.mark.parametrize("status", [404, 403, 401])
def test_refusals_are_not_tried_again(host, one, tmp_path, status) -> None:
    host.statuses = [status]
    with pytest.raises(DataError, match=rf"127\.0\.0\.1: HTTP {status}.*--from FOLDER_OR_URL"):
        fetch(one, tmp_path, Silent())
    assert len(host.requests) == 1


def test_a_busy_server_is_tried_again(host, one, content, tmp_path) -> None:
    host.statuses = [503, 429]
    assert fetch(one, tmp_path, Silent()).read_bytes() == content


def test_a_server_that_stays_busy_is_given_up(host, one, tmp_path) -> None:
    host.statuses = [503] * 10
    with pytest.raises(DataError, match="busy"):
        fetch(one, tmp_path, Silent())
    assert len(host.requests) == 1 + len(download._PAUSES)


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_offline(host, tmp_path) -> None:
    nowhere = Download("codes.bin", (f"http://127.0.0.1:{closed_port()}/codes.bin",))
    with pytest.raises(DataError) as caught:
        fetch(nowhere, tmp_path, Silent())
    message = str(caught.value)
    assert "\n" not in message
    for part in ("codes.bin", "127.0.0.1", "refused", "nothing is lost", "HTTPS_PROXY", "--from"):
        assert part in message


def test_a_mirror_is_tried(host, one, content, tmp_path) -> None:
    host.files["mirror"] = content
    nowhere = f"http://127.0.0.1:{closed_port()}/codes.bin"
    urls = (nowhere, f"{host.url}/gone", f"{host.url}/mirror")
    assert fetch(pinned(one, content, *urls), tmp_path, Silent()).read_bytes() == content
    assert [path for path, _ in host.requests] == ["gone", "mirror"]


def test_a_wrong_mirror_is_not_used(host, one, content, tmp_path) -> None:
    host.files["bad"] = b"y" * len(content)
    urls = (f"{host.url}/bad", f"{host.url}/codes.bin")
    assert fetch(pinned(one, content, *urls), tmp_path, Silent()).read_bytes() == content


def test_a_web_page_instead_of_the_file(host, one, tmp_path) -> None:
    page = "<html><head><title>Google Drive - Quota\n exceeded</title></head></html>"
    host.files["codes.bin"] = page.encode()
    host.pages.add("codes.bin")
    loose = Download("codes.bin", one.urls)
    with pytest.raises(DataError, match=r"web page came \('Google Drive - Quota exceeded'\)"):
        fetch(loose, tmp_path, Silent())
    assert names(tmp_path) == set()


def test_a_file_packed_by_a_proxy_is_refused(host, one, tmp_path) -> None:
    host.encoding = "gzip"
    with pytest.raises(DataError, match="packed again on its way"):
        fetch(one, tmp_path, Silent())


@pytest.mark.parametrize("url", ["codes.bin", "ftp://127.0.0.1/codes.bin", "http://[/codes.bin"])
def test_no_address(host, tmp_path, url) -> None:
    with pytest.raises(DataError, match=r"cannot get codes\.bin"):
        fetch(Download("codes.bin", (url,)), tmp_path, Silent())


def test_proxy_settings_that_do_not_work(host, one, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://somewhere")
    with pytest.raises(DataError, match="proxy settings do not work"):
        fetch(one, tmp_path, Silent())


def test_a_full_disk_is_foreseen(host, one, tmp_path, monkeypatch) -> None:
    usage = space.shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match=r"needs 50\.3 MB and has 1\.0 MB free"):
        fetch(one, tmp_path, Silent())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_disk_that_fills_up(host, one, tmp_path) -> None:
    (tmp_path / "codes.bin.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match=os.strerror(errno.ENOSPC) + r".*kept; free some space"):
        fetch(one, tmp_path, Silent())
