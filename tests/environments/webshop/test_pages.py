"""Pages: what is written on them, in text, in rich text and in HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from agentrl.environments.webshop.body import Card, Item, Listing
from agentrl.environments.webshop.catalogue import read_products
from agentrl.environments.webshop.pages import (
    DonePage,
    ItemPage,
    ResultsPage,
    SearchPage,
    SubPage,
)
from agentrl.environments.webshop.render_html import click_address, render_html
from agentrl.environments.webshop.render_text import render_rich, render_text

GOAL = "Find me a <b>kettle</b> & a lamp"
BLANKS = " \n\t\f\r"


class Browser(HTMLParser):
    """Reads visible texts and controls, the way the original reads its own pages."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.controls: dict[str, str] = {}
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._piece = ""
        self.feed(html)
        self.close()
        self._end_text()

    def handle_starttag(self, tag, attrs):
        self._end_text()
        attributes = dict(attrs)
        self.attributes.append((tag, attributes))
        if tag not in ("meta", "br", "input", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        self._end_text()
        assert self._open.pop() == tag, "elements must be closed in order"

    def handle_data(self, data):
        self._piece += data

    def handle_decl(self, decl):
        assert decl == "DOCTYPE html"

    def _end_text(self):
        text, self._piece = self._piece, ""
        if text and not text.strip(BLANKS):
            text = "\n" if "\n" in text else " "
        hidden = not self._open or self._open[-1] in ("style", "script", "head", "title")
        if text and text != "\n" and not hidden:
            self.texts.append(text)

    def addresses(self):
        """Return where clicks lead, by control."""
        found = {}
        for tag, attributes in self.attributes:
            if tag == "input" and attributes.get("type") == "hidden":
                found[attributes["value"]] = "form"
            elif tag == "input" and attributes.get("type") == "radio":
                found[attributes["value"]] = attributes["data-url"]
            elif tag == "a":
                found[attributes["href"].rpartition("=")[2]] = attributes["href"]
        return found


@pytest.fixture(scope="module")
def odd(shop_folder):
    return list(read_products(shop_folder))[-1]


@pytest.fixture(scope="module")
def every_page(shop_folder, odd):
    plain = next(read_products(shop_folder))
    words = ("red", '"two"')
    cards = (Card(plain.asin, plain.title, plain.price_text), Card("B0", "", "$1.0"))
    pages = [
        SearchPage(GOAL),
        SearchPage(""),
        ResultsPage(GOAL, words, Listing(1, 12, cards)),
        ResultsPage(GOAL, words, Listing(3, 12, ())),
        DonePage("B0", {"size": "<b> & 'c' \"d\" é", "color": "red"}, 2 / 3),
    ]
    for product in (plain, odd):
        pages.append(ItemPage(GOAL, words, 1, Item(product), {}))
        pages.append(
            ItemPage(GOAL, words, 1, Item(product, show_attributes=True), {"size": "large"})
        )
        for name in ("Description", "Features", "Reviews", "Attributes"):
            pages.append(SubPage(GOAL, words, 1, product, {}, name))
    return pages


def test_visible_text_of_the_html_is_the_text(every_page):
    for page in every_page:
        texts = Browser(render_html(page, "/shop/1", {"B0"}, images=True)).texts
        assert " [SEP] ".join(text.strip() for text in texts) == render_text(page)


def test_html_has_a_control_for_all_that_can_be_clicked(every_page):
    for page in every_page:
        browser = Browser(render_html(page, "/shop/1"))
        wanted = set(page.body.controls) - {"search"}
        found = browser.addresses()
        links = {one.asin.lower() for one in getattr(page.body, "cards", ())}
        assert set(found) == wanted
        assert {name for name, address in found.items() if address != "form"} >= links
        assert all(a == "form" or a == click_address("/shop/1", n) for n, a in found.items())
        has_search_bar = any(one.get("id") == "search_input" for _, one in browser.attributes)
        assert has_search_bar == isinstance(page, SearchPage)


def test_chosen_values_and_visited_products_are_marked_in_html(odd):
    page = ItemPage(GOAL, (), 1, Item(odd), {"fit type": "three"})
    radios = [a for _, a in Browser(render_html(page)).attributes if a.get("type") == "radio"]
    assert [one["value"] for one in radios if "checked" in one] == ["three"]
    results = ResultsPage(GOAL, ("a",), Listing(1, 1, (Card("B0", "t", "$1.0"),)))
    links = [a for tag, a in Browser(render_html(results, "", {"B0"})).attributes if tag == "a"]
    assert [one["data-visited"] for one in links] == ["true"]


def test_pictures_are_shown_only_when_asked_for(odd):
    page = ItemPage(GOAL, (), 1, Item(odd), {})
    assert "example.com" not in render_html(page)
    assert odd.image in render_html(page, images=True)


def test_texts_of_products_cannot_become_markup(odd):
    page = SubPage(GOAL, (), 1, odd, {}, "Features")
    assert "<script>" not in render_html(page)
    assert "<script>alert(1)</script>" in render_text(page)


def test_search_page_in_both_text_modes():
    page = SearchPage("Find me a kettle")
    assert render_text(page) == "WebShop [SEP] Instruction: [SEP] Find me a kettle [SEP] Search"
    wanted = "WebShop\nInstruction: \nFind me a kettle\n[button] Search [button_]\n"
    assert render_rich(page) == wanted


def test_blank_texts_are_shown_as_the_original_shows_them(odd):
    """A blank without a line end stays as one blank; with a line end, or empty, it is not there."""
    page = SubPage("I", (), 1, odd, {}, "Features")
    lines = render_rich(page).split("\n")
    nbsp = " \u00a0"
    assert lines[4:] == [" first ", " ", " <script>alert(1)</script>", nbsp, ""]
    assert render_text(page).split(" [SEP] ")[4:] == ["first", "", "<script>alert(1)</script>", ""]


def test_buttons_of_results_depend_on_the_page():
    first, third = (ResultsPage("I", ("a",), Listing(number, 5, ())) for number in (1, 3))
    assert list(first.body.controls) == ["back to search", "next >"]
    assert list(third.body.controls) == ["back to search", "< prev", "next >"]
    assert "Page 3 (Total results: 5)" in render_text(third)


def test_visited_products_look_clicked():
    page = ResultsPage("I", ("a",), Listing(1, 1, (Card("B0", "A lamp", "$1.0"),)))
    assert "\n\n[button] B0 [button_]\nA lamp\n$1.0\n" in render_rich(page)
    assert "\n\n[clicked button] B0 [clicked button_]\nA lamp\n" in render_rich(page, {"B0"})


def test_a_shared_value_keeps_its_first_place_and_belongs_to_the_last_group(odd):
    found = Item(odd).controls
    names = list(found)
    assert names[:6] == [
        "back to search",
        "< prev",
        "description",
        "features",
        "reviews",
        "buy now",
    ]
    assert names.count("two") == 1
    assert names.index("two") < names.index("three")
    assert found["two"] == "fit type"
    assert found["description"] == "color", "an option shadows the button of its name"


def clicked(page):
    lines = render_rich(page).split("\n")
    news = [line for line in lines if line.startswith("You have clicked ")]
    marked = [line.split("] ")[1].split(" [")[0] for line in lines if "[clicked button]" in line]
    return [line.removeprefix("You have clicked ")[:-1] for line in news], marked


def test_news_of_chosen_options_come_first_and_newest_page_position_on_top(odd):
    page = ItemPage("I", ("a",), 1, Item(odd), {"fit type": "three", "color": "red | blue"})
    assert clicked(page) == (["three", "red | blue"], ["red | blue", "three"])
    assert render_rich(page).startswith(
        "You have clicked three.\nYou have clicked red | blue.\nIns"
    )


def test_chosen_is_what_stands_quoted_in_the_address(odd):
    """Not ASCII, or with a quote: never; searched for in quotes: always; in two groups: in both."""
    unseen = {"color": "a1-wine\u00a0red", "fit type": 'a "quoted" one'}
    assert clicked(ItemPage("I", ("a",), 1, Item(odd), unseen)) == ([], [])
    assert clicked(ItemPage("I", ("a", '"three"'), 1, Item(odd), {})) == (["three"], ["three"])
    assert clicked(ItemPage("I", ("a",), 1, Item(odd), {"fit type": "two"}))[1] == ["two", "two"]


def test_attributes_have_a_button_only_when_shown(odd):
    assert "Attributes" not in render_text(ItemPage("I", (), 1, Item(odd), {}))
    page = ItemPage("I", (), 1, Item(odd, show_attributes=True), {})
    assert "Reviews [SEP] Attributes [SEP] Buy Now" in render_text(page)


def test_done_page_shows_what_was_bought():
    page = DonePage("B0", {"size": "l", "color": "it's <b>"}, 0.75)
    text = render_text(page)
    assert (
        '[SEP] B0 [SEP] options [SEP] {"color": "it\\u0027s \\u003cb\\u003e", "size": "l"}' in text
    )
    assert "Your score (min 0.0, max 1.0) [SEP] 0.75" in text
    assert list(page.body.controls) == []
