"""Web pages that come instead of a file, and the one kind of page behind which the file lies."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)
_LONGEST_TITLE = 80


def title(page: str) -> str:
    """Return what a page says it is, on one line."""
    found = _TITLE.search(page)
    return " ".join(found[1].split())[:_LONGEST_TITLE] if found else "without a title"


def confirmed(page: str, url: str) -> str | None:
    """Return the address behind a page that asks whether to download, or None.

    Google Drive shows such a page for files too large for its virus scan: a form whose id is
    `download-form`, to be sent back as it is. A form that leads to another host is not followed.

    Args:
        page: The page's text.
        url: Where it came from.
    """
    form = _DownloadForm()
    form.feed(page)
    if form.action is None or not form.fields:
        return None
    try:
        action = urljoin(url, form.action)
    except ValueError:
        return None
    if not _belongs(host_of(action), host_of(url)):
        return None
    return f"{action}?{urlencode(form.fields)}"


def host_of(url: str) -> str | None:
    """Return the host that an address names, or None if it names none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _belongs(host: str | None, to: str | None) -> bool:
    """Return whether a host is the other, or both are of the same domain."""
    if host is None or to is None:
        return False
    return host == to or host.split(".")[-2:] == to.split(".")[-2:]


class _DownloadForm(HTMLParser):
    """Collects the form's address and its hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read the form and its inputs."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and values.get("id") == "download-form":
            self.action = values.get("action", "")
        elif tag == "input" and self.action is not None and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")
