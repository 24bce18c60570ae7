"""Downloads that survive: a broken one goes on where it stopped, a foreign one is not kept.

What has come so far lies in `NAME.part`, with a note `NAME.part.json` of where it came from and by
what the server recognises it (`ETag` or `Last-Modified`), so that the next call asks for the rest
and for the rest of the same file only (HTTP `Range` with `If-Range`).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agentrl.data.declaration import Download
from agentrl.data.part import Part
from agentrl.data.progress import Progress, size
from agentrl.data.space import require_space
from agentrl.data.webpage import confirmed, host_of, title
from agentrl.errors import DataError

if TYPE_CHECKING:
    import httpx

_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try while nothing comes."""
_LONGEST_PAGE = 1 << 20
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_MEND = (
    "mend the network (the variables HTTPS_PROXY and NO_PROXY are honoured), or give the files "
    "with --from FOLDER_OR_URL"
)


class _Unusable(Exception):
    """An address does not give the file; another may."""


class _Again(Exception):
    """What came is not the rest of what we have, or is not all; it is worth another try."""


def fetch(
    download: Download, folder: Path, progress: Progress, urls: Sequence[str] | None = None
) -> Path:
    """Download a file into a folder, going on with what an earlier call left there.

    Args:
        download: The file.
        folder: Where it goes, and what has come of it meanwhile.
        progress: Told how it goes.
        urls: Addresses to use instead of the download's own.

    Raises:
        DataError: No address gives the file, or the disk is full; what has come is kept.
    """
    done = folder / download.name
    if done.is_file():
        if is_right(done, download):
            return done
        done.unlink()
    part = Part(folder, download.name)
    problems: list[str] = []
    with _client() as client:
        for url in urls or download.urls:
            try:
                _Transfer(client, url, download, part, progress).run()
                return part.finish()
            except _Unusable as problem:
                problems.append(f"{host_of(url) or url}: {problem}")
    raise DataError(_complaint(download, part, problems))


def _complaint(download: Download, part: Part, problems: list[str]) -> str:
    total = f" of {size(download.bytes)}" if download.bytes else ""
    kept = f": {size(part.size)}{total} are kept for the next try" if part.size else ""
    said = "; ".join(dict.fromkeys(problems))
    return f"cannot get {download.name} ({said}); nothing is lost{kept}; {_MEND}"


def _client() -> httpx.Client:
    import httpx

    import agentrl

    headers = {"User-Agent": f"agentrl/{agentrl.__version__}", "Accept-Encoding": "identity"}
    timeout = httpx.Timeout(60.0, connect=15.0)
    try:
        return httpx.Client(headers=headers, timeout=timeout, follow_redirects=True)
    except (ImportError, ValueError) as error:
        raise DataError(f"the proxy settings do not work: {error}; mend HTTPS_PROXY") from error


class _Transfer:
    """One file from one address."""

    def __init__(
        self, client: httpx.Client, url: str, download: Download, part: Part, progress: Progress
    ) -> None:
        self._client = client
        self._url = url
        self._download = download
        self._part = part
        self._progress = progress
        self._is_reached = False
        self._is_mixed = False
        """Whether the part was begun by an earlier answer."""

    def run(self) -> None:
        """Complete the part, trying again as long as it grows.

        Raises:
            _Unusable: This address does not give the file.
        """
        for _ in range(2):
            self._complete()
            if self._download.sha256 in (None, digest := _sha256(self._part.path)):
                return
            self._part.discard()
            if not self._is_mixed:
                break
        raise _Unusable(
            f"the file has the SHA-256 {digest}, not {self._download.sha256}; it was not kept"
        )

    def _complete(self) -> None:
        import httpx

        failures = 0
        while True:
            before = self._part.size
            try:
                return self._attempt()
            except httpx.InvalidURL as error:
                raise _Unusable(f"not an address: {error}") from error
            except (httpx.TransportError, httpx.TooManyRedirects, _Again) as error:
                failures = 1 if self._part.size > before else failures + 1
                never = not self._is_reached and isinstance(error, httpx.ConnectError)
                if never or failures > len(_PAUSES):
                    raise _Unusable(_reason(error)) from error
                self._progress.say(f"{self._download.name}: {_reason(error)}; trying again")
                time.sleep(_PAUSES[failures - 1])

    def _attempt(self) -> None:
        """Ask for what is missing and append it."""
        headers = self._part.resume_headers(self._url, is_pinned=bool(self._download.sha256))
        with self._client.stream("GET", self._url, headers=headers) as answer:
            self._is_reached = True
            if answer.status_code == 416 and self._is_all(answer):
                return
            self._refuse(answer)
            start = self._start(answer)
            total = self._total(answer, start)
            self._is_mixed = start > 0
            self._part.note(self._url, answer.headers)
            require_space(self._part.folder, (total or 0) - start)
            self._append(answer, start, total)
        if total is not None and self._part.size != total:
            raise _Again(f"{self._part.size:,} of {total:,} bytes came")

    def _append(self, answer: httpx.Response, start: int, total: int | None) -> None:
        name = self._download.name
        with (
            self._part.open(start) as write,
            self._progress.task(f"downloading {name}", total, start, "bytes") as advance,
        ):
            for chunk in answer.iter_raw():
                write(chunk)
                advance(len(chunk))

    def _refuse(self, answer: httpx.Response) -> None:
        """Raise for an answer that is not the file."""
        status = answer.status_code
        if status == 416:
            self._part.discard()
            raise _Again("the server has another file than before; starting over")
        if status >= 500 or status in (408, 429):
            raise _Again(f"the server is busy (HTTP {status})")
        if status not in (200, 206):
            raise _Unusable(f"HTTP {status} {answer.reason_phrase}".strip())
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise _Unusable("the file was packed again on its way; is a proxy in between?")
        is_page = answer.headers.get("Content-Type", "").startswith("text/html")
        if is_page and not self._download.name.endswith((".html", ".htm")):
            self._read_page(answer)

    def _read_page(self, answer: httpx.Response) -> None:
        """Go on behind a page that asks for confirmation; complain about any other page."""
        page = b""
        for chunk in answer.iter_bytes():
            page += chunk
            if len(page) > _LONGEST_PAGE:
                break
        text = page.decode(errors="replace")
        behind = confirmed(text, str(answer.url))
        if behind is None or behind == self._url:
            raise _Unusable(f"a web page came ({title(text)!r}) instead of the file")
        self._url = behind
        raise _Again("the server asks for confirmation")

    def _start(self, answer: httpx.Response) -> int:
        """Return the offset at which the answer begins."""
        if answer.status_code == 200:
            return 0
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if not found or found[1] is None or int(found[1]) != self._part.size:
            self._part.discard()
            raise _Again("the server sent another piece than asked for; starting over")
        return self._part.size

    def _total(self, answer: httpx.Response, start: int) -> int | None:
        """Return the size of the whole file, where the server tells or we know."""
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else self._download.bytes
        if self._download.bytes not in (None, total):
            self._part.discard()
            raise _Unusable(f"the file has {total:,} bytes, not {self._download.bytes:,}")
        return total

    def _is_all(self, answer: httpx.Response) -> bool:
        """Return whether there is no rest because all is here."""
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        return found is not None and found[2] == str(self._part.size)


def is_right(file: Path, download: Download) -> bool:
    """Return whether a file is the download, as far as its size and hash are known."""
    if download.bytes not in (None, file.stat().st_size):
        return False
    return download.sha256 is None or download.sha256 == _sha256(file)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
