"""Pages as text, in the original's two modes, rendered from the marks without any HTML."""

from __future__ import annotations

from collections.abc import Set

from agentrl.environments.webshop.body import SEPARATOR, Kind, is_shown, rich_line, text_line
from agentrl.environments.webshop.pages import (
    ItemPage,
    Page,
    ResultsPage,
    address_tail,
    head,
)


def render_text(page: Page) -> str:
    """Return mode `text`: all that is written, joined by ` [SEP] `."""
    above = [words.strip() for words in head(page) if is_shown(words)]
    return SEPARATOR.join([*above, page.body.text])


def render_rich(page: Page, visited: Set[str] = frozenset()) -> str:
    """Return mode `text_rich`: a line for each mark, with buttons set apart.

    Args:
        page: The page.
        visited: The numbers (`asin`) of products already opened; their links look clicked.
    """
    above = "".join([f"{text_line(words)}\n" for words in head(page) if is_shown(words)])
    clicked = _clicked(page, visited)
    if not clicked:
        return above + page.body.rich
    marks = page.body.shown
    lines = [rich_line(mark, mark.text in clicked and mark.kind in _CAN_BE) for mark in marks]
    news = [
        f"You have clicked {mark.text}.\n"
        for mark in reversed(marks)
        if mark.kind is Kind.OPTION and mark.text in clicked
    ]
    return "".join([*news, above, "\n".join([*lines, ""])])


_CAN_BE = (Kind.OPTION, Kind.LINK)


def _clicked(page: Page, visited: Set[str]) -> Set[str]:
    """Return the options that look chosen, or the links that look visited."""
    if isinstance(page, ResultsPage):
        return page.body.asins & visited
    if not isinstance(page, ItemPage):
        return frozenset()
    address = address_tail(page)
    if '"' not in address:
        return frozenset()
    options = (mark.text for mark in page.body.shown if mark.kind is Kind.OPTION)
    return {option for option in options if f'"{option}"' in address}
