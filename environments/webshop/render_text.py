"""Pages as text, in the original's two modes, rendered from the marks without any HTML."""

from __future__ import annotations

from collections.abc import Container

from agentrl.environments.webshop.pages import ItemPage, Kind, Page, address_tail, marks

SEPARATOR = " [SEP] "
_BLANKS = " \n\t\f\r"


def render_text(page: Page) -> str:
    """Return mode `text`: all that is written, joined by ` [SEP] `."""
    return SEPARATOR.join([text.strip() for _, text in marks(page) if shows(text)])


def render_rich(page: Page, visited: Container[str] = ()) -> str:
    """Return mode `text_rich`: a line for each mark, with buttons set apart.

    Args:
        page: The page.
        visited: The numbers (`asin`) of products already opened; their links look clicked.
    """
    address = address_tail(page) if isinstance(page, ItemPage) else ""
    chosen: list[str] = []
    lines: list[str] = []
    for kind, text in marks(page):
        if not shows(text):
            continue
        if kind is Kind.TEXT:
            lines.append(text if text.strip(_BLANKS) else " ")
        elif kind is Kind.BUTTON:
            lines.append(f"[button] {text} [button_]")
        elif kind is Kind.LINK:
            word = "clicked button" if text in visited else "button"
            lines.append(f"\n[{word}] {text} [{word}_]")
        elif f'"{text}"' in address:
            chosen.append(text)
            lines.append(f"  [clicked button] {text} [clicked button_]")
        else:
            lines.append(f"  [button] {text} [button_]")
    news = [f"You have clicked {text}." for text in reversed(chosen)]
    return "\n".join([*news, *lines, ""])


def shows(text: str) -> bool:
    """Return whether the original shows a text: not if empty, nor blank with a line end in it."""
    return bool(text) and ("\n" not in text or bool(text.strip(_BLANKS)))
