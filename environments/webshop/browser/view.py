"""The pages as a person sees them: everything the agent's page says, laid out for eyes.

One form holds the whole page. Its buttons name clicks by their position in the environment's list,
so a page cannot offer what the environment does not, and texts need not survive the way through a
form. No script, and nothing from elsewhere: the catalogue's pictures are not loaded.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentrl.environments.webshop.body import BACK, NEXT, PREVIOUS, SEARCH
from agentrl.environments.webshop.browser.ending import ending
from agentrl.environments.webshop.browser.markup import Html, join, tag
from agentrl.environments.webshop.browser.visit import Visit
from agentrl.environments.webshop.pages import (
    ItemPage,
    ResultsPage,
    SearchPage,
    SubPage,
    sub_texts,
)

_SHOWN_TURNS = 50
_NO_ACTION = "No action can name this: its text has brackets or line ends in it."


def document(visit: Visit) -> Html:
    """Return where the visit is, as a whole HTML document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{_crumbs(visit)[-1][:60]} - WebShop"),
        tag("link", rel="stylesheet", href="/style.css"),
    )
    body = tag(
        "body",
        _top(visit),
        _instruction(visit),
        tag(
            "main",
            tag("p", visit.note, class_="note", role="status") if visit.note else "",
            _breadcrumbs(visit),
            ending(visit) if visit.outcome is not None else _page_form(visit),
        ),
        _task_form(visit) if visit.outcome is not None else "",
        tag("aside", _done_so_far(visit), _agents_view(visit), aria_label="About this episode"),
        _task_form(visit) if visit.outcome is None else "",
    )
    return join(Html("<!DOCTYPE html>"), tag("html", head, body, lang="en"))


def _top(visit: Visit) -> Html:
    used, limit = len(visit.turns), visit.env.max_turns
    turns = f"{used} of {limit} turns used" if limit is not None else f"{used} turns used"
    return tag("header", tag("p", "WebShop", class_="brand"), tag("p", turns, class_="turns"))


def _instruction(visit: Visit) -> Html:
    return tag(
        "section",
        tag("h2", "Instruction"),
        tag("p", visit.task.goal.text, id="instruction"),
        class_="instruction",
        aria_label="What to buy",
    )


def _crumbs(visit: Visit) -> list[str]:
    page = visit.page
    crumbs = [SEARCH]
    if visit.outcome is not None:
        return [*crumbs, "The end"]
    if isinstance(page, ResultsPage):
        crumbs.append(f"Results for “{' '.join(page.words)}”")
    elif isinstance(page, ItemPage | SubPage):
        crumbs += [f"Results for “{' '.join(page.words)}”", page.product.title]
    if isinstance(page, SubPage):
        crumbs.append(page.name)
    return crumbs


def _breadcrumbs(visit: Visit) -> Html:
    *before, here = _crumbs(visit)
    items = [*(tag("li", crumb) for crumb in before), tag("li", here, aria_current="page")]
    return tag("nav", tag("ol", *items), aria_label="Where you are", class_="crumbs")


def _page_form(visit: Visit) -> Html:
    page = visit.page
    match page:
        case SearchPage():
            parts: Iterable[str] = _search()
        case ResultsPage():
            parts = _results(visit, page)
        case ItemPage():
            parts = _item(visit, page)
        case SubPage():
            parts = _sub(visit, page)
        case _:
            raise AssertionError("the last page is shown by `ending`")
    return tag("form", _mark(visit), *parts, method="post", action="/act", autocomplete="off")


def _search() -> Iterable[str]:
    yield tag("h1", "Search the shop")
    yield tag("label", "Words to search for", for_="search")
    field = tag(
        "input", type="search", id="search", name="search", maxlength="1000",
        required=True, autofocus=True,
    )  # fmt: skip
    yield tag("div", field, tag("button", SEARCH, class_="main"), class_="bar")


def _results(visit: Visit, page: ResultsPage) -> Iterable[str]:
    listing = page.body
    steps = (PREVIOUS, NEXT) if listing.number > 1 else (NEXT,)
    yield _tools(visit, BACK, *steps)
    yield tag("h1", listing.title)
    if not listing.cards:
        yield tag("p", "There is nothing on this page.", class_="empty")
    cards = []
    for card in listing.cards:
        seen = card.asin in visit.env.session.situation.visited
        title = tag("span", card.title, class_="title")
        link = _button(visit, card.asin.lower(), title, kind="link")
        number = tag("span", card.asin, class_="asin")
        about = tag("p", number, " · opened" if seen else "", class_="about")
        price = tag("p", card.price, class_="price")
        cards.append(tag("li", link, price, about, class_="seen" if seen else "new"))
    yield tag("ol", *cards, class_="results", start=str(10 * (listing.number - 1) + 1))


def _item(visit: Visit, page: ItemPage) -> Iterable[str]:
    title, price, rating = page.body.texts
    *sub_pages, buy = page.body.buttons
    yield _tools(visit, BACK, PREVIOUS)
    yield tag("h1", title)
    yield tag("p", tag("span", price, class_="price"), " ", tag("span", rating), class_="facts")
    for group, values in page.product.options.items():
        chosen = page.chosen.get(group)
        picks = [_option(visit, value, value == chosen) for value in values]
        state = tag("span", f"chosen: {chosen}" if chosen else "nothing chosen", class_="state")
        legend = tag("legend", tag("span", group, class_="group"), " ", state)
        yield tag("fieldset", legend, tag("div", *picks, class_="options"))
    reads = [_button(visit, name.lower(), name) for name in sub_pages]
    yield tag("div", *reads, class_="tools", role="group", aria_label="Read about it")
    yield tag("div", _button(visit, buy.lower(), buy, kind="main"), class_="buy")


def _sub(visit: Visit, page: SubPage) -> Iterable[str]:
    yield _tools(visit, BACK, PREVIOUS)
    yield tag("h1", page.name)
    texts = [text for text in sub_texts(page) if text.strip()]
    if page.name == "Description":
        yield from (tag("p", text, class_="text") for text in texts)
    else:
        yield tag("ul", *(tag("li", text) for text in texts), class_="text")
    if not texts:
        yield tag("p", "Nothing is written here.", class_="empty")


def _tools(visit: Visit, *names: str) -> Html:
    buttons = [_button(visit, name.lower(), name) for name in names]
    return tag("div", *buttons, class_="tools", role="group", aria_label="Go")


def _option(visit: Visit, value: str, chosen: bool) -> Html:
    return _button(visit, value, value, kind="option", aria_pressed="true" if chosen else "false")


def _button(
    visit: Visit, control: str, label: str, *, kind: str = "plain", **more: str | bool
) -> Html:
    number = visit.number_of(control)
    if number is None:
        return tag("button", label, class_=kind, disabled=True, title=_NO_ACTION, **more)
    return tag("button", label, name="click", value=str(number), class_=kind, **more)


def _mark(visit: Visit) -> Html:
    return tag("input", type="hidden", name="mark", value=visit.mark)


def _done_so_far(visit: Visit) -> Html:
    turns = list(enumerate(visit.turns, 1))[-_SHOWN_TURNS:]
    rows = [
        tag("li", tag("code", turn.action), "" if turn.valid else " (not understood)", value=str(n))
        for n, turn in turns
    ]
    shown = tag("ol", *rows, class_="actions") if rows else tag("p", "Nothing yet.")
    return tag("section", tag("h2", "Your actions"), shown)


def _agents_view(visit: Visit) -> Html:
    actions = visit.info.get("admissible_actions", [])
    listed = "\n".join(actions) if visit.outcome is None else "(none: the episode has ended)"
    return tag(
        "details",
        tag("summary", "What an agent sees"),
        tag("h3", "Observation"),
        tag("pre", visit.observation, tabindex="0", id="observation"),
        tag("h3", "Admissible actions"),
        tag("pre", listed, tabindex="0"),
    )


def _task_form(visit: Visit) -> Html:
    ended = visit.outcome is not None
    words = "Next task" if ended else "Give up, another task"
    buttons = [
        tag("button", words, name="task", value="next", class_="main" if ended else "plain"),
        tag("button", "This task from the beginning", name="task", value="again", class_="plain"),
    ]
    form = tag("form", _mark(visit), *buttons, method="post", action="/task", class_="tools")
    return tag("footer", form, tag("p", "Task ", tag("code", visit.task_id)))
