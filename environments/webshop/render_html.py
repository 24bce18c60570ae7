"""Pages as HTML, for people in a browser and for agents that read markup.

Address scheme: every page of a session has one address, `base`. `base?search=WORDS` searches and
`base?click=CONTROL` clicks a control, named as in the clickables (lower case); a server carries
that out on the session and sends the browser back to `base`. Classes and ids are the original's:
`search_input`, `instruction-text`, `btn`, `product-link`, radio buttons for options. All texts are
those of the marks, in their order: the visible text of the HTML is the observation of mode `text`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from html import escape
from urllib.parse import quote

from agentrl.environments.webshop.body import BACK, NEXT, PREVIOUS, SEARCH
from agentrl.environments.webshop.pages import (
    DonePage,
    ItemPage,
    Page,
    ResultsPage,
    SearchPage,
    done_texts,
    head,
    sub_texts,
)

_STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;line-height:1.4}"
    "form{display:inline}.card{border-top:1px solid #ccc;padding:.6em 0}h2,h4{margin:.3em 0}"
    ".group{margin:.6em 0}label{margin-right:1em}.product-link[data-visited]{color:#777}"
)


def render_html(
    page: Page, base: str = "", visited: Container[str] = (), *, images: bool = False
) -> str:
    """Return a page as a whole HTML document.

    Args:
        page: The page.
        base: The session's address, to which links and forms lead; empty for the current one.
        visited: The numbers (`asin`) of products already opened.
        images: Show the product's picture, which the browser fetches from the original seller.
    """
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        "<title>WebShop</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        *_body(page, base, visited, images),
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(lines)


def click_address(base: str, control: str) -> str:
    """Return the address that clicks a control."""
    return f"{base}?click={quote(control, safe='', errors='replace')}"


def _body(page: Page, base: str, visited: Container[str], images: bool) -> Iterable[str]:
    match page:
        case SearchPage():
            return _search_body(page, base)
        case ResultsPage():
            return _results_body(page, base, visited)
        case ItemPage():
            return _item_body(page, base, images)
        case DonePage():
            return [_element("p", text) for text in done_texts(page)]
        case _:
            texts = [_element("p", text, "product-info") for text in sub_texts(page)]
            return [*_head(page, base), _button(PREVIOUS, base), *texts]


def _search_body(page: SearchPage, base: str) -> Iterable[str]:
    title, word, instruction = head(page)
    yield _element("h3", title)
    yield _instruction(word, instruction)
    yield f'<form method="get"{_target(base)}>'
    yield '<input type="text" id="search_input" name="search" autofocus required>'
    yield f'<button type="submit" class="btn">{SEARCH}</button>'
    yield "</form>"


def _results_body(page: ResultsPage, base: str, visited: Container[str]) -> Iterable[str]:
    listing = page.body
    yield from _head(page, base)
    yield _element("h3", listing.title)
    if listing.number > 1:
        yield _button(PREVIOUS, base)
    yield _button(NEXT, base)
    for card in listing.cards:
        address = escape(click_address(base, card.asin.lower()))
        state = ' data-visited="true"' if card.asin in visited else ""
        yield '<div class="card">'
        yield f'<a class="product-link" href="{address}"{state}>{escape(card.asin)}</a>'
        yield _element("h4", card.title, "product-title")
        yield _element("h5", card.price, "product-price")
        yield "</div>"


def _item_body(page: ItemPage, base: str, images: bool) -> Iterable[str]:
    product = page.product
    title, price, rating = page.body.texts
    yield from _head(page, base)
    yield _button(PREVIOUS, base)
    if images and product.image:
        yield f'<img id="product-image" src="{escape(product.image)}" alt="">'
    for number, (group, values) in enumerate(product.options.items()):
        yield '<div class="group">'
        yield _element("h4", group)
        for place, value in enumerate(values):
            yield from _option(group, value, f"option-{number}-{place}", page, base)
        yield "</div>"
    yield _element("h2", title)
    yield _element("h4", price)
    yield _element("h4", rating)
    for button in page.body.buttons:
        yield _button(button, base)


def _option(group: str, value: str, name: str, page: ItemPage, base: str) -> Iterable[str]:
    checked = " checked" if page.chosen.get(group) == value else ""
    address = escape(click_address(base, value))
    yield (
        f'<input type="radio" id="{name}" name="{escape(group)}" value="{escape(value)}"'
        f' data-url="{address}" onchange="location.href = this.dataset.url"{checked}>'
    )
    yield f'<label for="{name}">{escape(value)}</label>'


def _head(page: Page, base: str) -> Iterable[str]:
    word, instruction = head(page)
    yield _instruction(word, instruction)
    yield _button(BACK, base)


def _instruction(word: str, instruction: str) -> str:
    return f'<div id="instruction-text"><h4>{word}<br>{escape(instruction)}</h4></div>'


def _button(label: str, base: str) -> str:
    hidden = f'<input type="hidden" name="click" value="{escape(label.lower())}">'
    button = f'<button type="submit" class="btn">{escape(label)}</button>'
    return f'<form method="get"{_target(base)}>{hidden}{button}</form>'


def _target(base: str) -> str:
    return f' action="{escape(base)}"' if base else ""


def _element(tag: str, text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f"<{tag}{attribute}>{escape(text)}</{tag}>"
