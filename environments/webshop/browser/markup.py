"""HTML that cannot be forgotten to escape: whatever is not `Html` is text and is escaped."""

from __future__ import annotations

import re
from html import escape

_VOID = frozenset({"input", "link", "meta"})
_NOT_IN_HTML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(element: str, /, *children: str, **attributes: str | bool) -> Html:
    """Return an element.

    Args:
        element: The element's name.
        children: What is in it; text is escaped, `Html` is taken as it is.
        attributes: Text, or whether the attribute is there. A final underscore is left out and
            the others become hyphens: `class_`, `aria_label`.
    """
    head = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_safe(value)}"')
        for key, value in attributes.items()
        if value is not False
    )
    if element in _VOID:
        return Html(f"<{element}{head}>")
    return Html(f"<{element}{head}>{join(*children)}</{element}>")


def join(*children: str) -> Html:
    """Return pieces one after the other, escaped where they are not HTML."""
    return Html("".join(child if isinstance(child, Html) else _safe(child) for child in children))


def _safe(text: str) -> str:
    return escape(_NOT_IN_HTML.sub("\ufffd", text))
