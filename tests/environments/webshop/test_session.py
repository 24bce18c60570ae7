"""Sessions: what actions lead to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agentrl.environments.webshop.pages import ItemPage, ResultsPage, SubPage
from agentrl.environments.webshop.render_text import render_rich
from agentrl.environments.webshop.session import Session
from agentrl.environments.webshop.shelf import shelf_of

ODD = "b0000000xy"


@pytest.fixture
def bought():
    return []


@pytest.fixture
def session(shop_folder, bought):
    def judge(product, chosen):
        bought.append((product.asin, chosen))
        return SimpleNamespace(reward=0.5, success=False)

    return Session(shelf_of(shop_folder), "Buy a vase", judge, seed="test/1")


def play(session, *actions):
    return [session.act(action) for action in actions]


def test_a_purchase_from_beginning_to_end(session, bought):
    assert session.has_search_bar
    assert list(session.clickables) == ["search"]
    assert play(session, "search[peculiar vase]", f"click[{ODD}]", "click[three]") == [True] * 3
    assert not session.has_search_bar
    assert play(session, "click[red | blue]", "click[<b>bold & 'more']") == [True, True]
    assert play(session, "click[buy now]") == [True]
    chosen = {"fit type": "<b>bold & 'more'", "color": "red | blue"}
    assert bought == [("B0000000XY", chosen)]
    assert session.is_done
    assert session.situation.score.reward == 0.5
    before = session.situation
    assert play(session, "search[lamp]", "click[buy now]", "click[back to search]") == [False] * 3
    assert session.situation is before


@pytest.mark.parametrize(
    "action", ["", "search", "search[]", "click[search]", "click[buy now]", "CLICK[search]", "x[y]"]
)
def test_what_means_nothing_changes_nothing(session, action):
    before, page = session.situation, session.page
    assert not session.act(action)
    assert session.situation is before
    assert session.page is page


def test_searching_works_on_every_page(session):
    for words in ("lamp", "red sofa"):
        play(session, "search[peculiar vase]", f"click[{ODD}]", "click[features]")
        assert session.act(f"search[{words}]")
        assert isinstance(session.page, ResultsPage)
        assert session.page.words == tuple(words.split(" "))
        assert session.situation.item is None


def test_results_have_ten_to_a_page_and_empty_pages_follow(session):
    session.act("search[home]")
    total = session.page.body.total
    assert total == 50
    sizes = [len(session.page.body.cards)]
    for _ in range(6):
        assert session.act("click[next >]")
        sizes.append(len(session.page.body.cards))
    assert sizes == [10, 10, 10, 10, 10, 0, 0]
    assert session.page.body.number == 7
    assert play(session, *["click[< prev]"] * 7) == [True] * 6 + [False]
    assert session.page.body.number == 1


def test_words_nobody_knows_find_nothing(session):
    for words in (" ", "zzzzqqqq", "\ud800", "💥"):
        assert session.act(f"search[{words}]")
        assert (session.page.body.total, session.page.body.cards) == (0, ())


def test_sub_pages_lead_back_to_the_product_with_its_options(session):
    play(session, "search[peculiar vase]", "click[next >]", "click[< prev]", f"click[{ODD}]")
    play(session, "click[three]", "click[reviews]")
    assert isinstance(session.page, SubPage)
    assert list(session.clickables) == ["back to search", "< prev"]
    session.act("click[< prev]")
    assert isinstance(session.page, ItemPage)
    assert session.page.chosen == {"fit type": "three"}


def test_leaving_a_product_loses_its_options_and_keeps_the_page(session):
    play(session, "search[home]", "click[next >]")
    asin = session.page.body.cards[3].asin.lower()
    play(session, f"click[{asin}]", "click[large]", "click[< prev]")
    assert (session.page.body.number, session.situation.chosen) == (2, ())
    assert f"[clicked button] {asin.upper()} [" in render_rich(
        session.page, session.situation.visited
    )


def test_visited_products_are_forgotten_on_the_search_page_only(session):
    play(session, "search[peculiar vase]", f"click[{ODD}]", "search[peculiar vase]")
    assert session.situation.visited == {"B0000000XY"}
    session.act("click[back to search]")
    assert session.situation.visited == frozenset()
    assert session.page.instruction == "Buy a vase"


def test_later_choices_in_a_group_replace_the_earlier(session):
    play(session, "search[peculiar vase]", f"click[{ODD}]", "click[red | blue]", "click[three]")
    session.act("click[a1-wine\u00a0red]")
    assert session.situation.chosen == (("color", "a1-wine\u00a0red"), ("fit type", "three"))


def test_options_named_like_controls(session):
    """An option called as a text of the product opens that text; other names choose the option."""
    play(session, "search[peculiar vase]", f"click[{ODD}]", "click[next >]", "click[two]")
    assert dict(session.situation.chosen) == {"fit type": "two"}
    session.act("click[description]")
    assert session.situation.sub == "Description"
    play(session, "click[< prev]", "click[attributes]")
    assert session.situation.sub == "Attributes"


def test_an_option_with_brackets_can_be_clicked_only_by_hand(session):
    play(session, "search[peculiar vase]", f"click[{ODD}]")
    assert "a [b]" in session.clickables
    assert not session.act("click[a [b]]"), "the original reads another name there"
    assert session.click("a [b]")
    assert dict(session.situation.chosen) == {"color": "a [b]"}


def test_listings_by_category_query_and_attribute(session):
    session.act("search[<c> garden]")
    assert session.page.body.total == 65, "listings are not cut to fifty"
    session.act("search[<q> lamps for the home]")
    assert session.page.body.total == 8
    session.act("search[<a> easy clean]")
    assert session.page.body.total == 65
    for nothing in ("<c>", "<c> ", "<q>", "<a> no such thing", "<a>"):
        assert session.act(f"search[{nothing}]")
        assert session.page.body.total == 0


def test_any_products_are_the_same_ones_all_episode(session):
    session.act("search[<r>]")
    first = session.page.body.cards
    assert session.page.body.total == 50
    play(session, "click[next >]", "click[< prev]")
    assert session.page.body.cards == first


def test_keys_are_equal_exactly_when_the_situation_is(session):
    seen = {}

    def key():
        return session.key(with_visited=True)

    start = key()
    for action in (
        "search[home]",
        "click[next >]",
        "click[< prev]",
        "search[peculiar vase]",
        f"click[{ODD}]",
        "click[three]",
        "click[red | blue]",
        "click[features]",
    ):
        session.act(action)
        seen[action] = key()
    assert seen["click[< prev]"] == seen["search[home]"]
    assert len({start, *seen.values()}) == len(seen)
    session.act("click[back to search]")
    assert key() == start


def test_keys_do_not_tell_searches_apart_that_find_the_same(session):
    keys = []
    for words in ("peculiar vase", "vase PECULIAR", 'vase "peculiar"'):
        play(session, "click[back to search]", f"search[{words}]")
        keys.append(session.key(with_visited=True))
    assert keys[0] == keys[1]
    assert keys[2] != keys[0], "quotes can make an option look chosen"


def test_keys_tell_visits_only_where_they_show(session):
    session.act("search[peculiar vase]")
    keys = [session.key(with_visited=show) for show in (True, False)]
    play(session, f"click[{ODD}]", "click[< prev]")
    assert session.key(with_visited=True) != keys[0]
    assert session.key(with_visited=False) == keys[1]


def test_a_situation_brings_a_session_back(session):
    play(session, "search[peculiar vase]", f"click[{ODD}]", "click[three]")
    situation, page = session.situation, session.page
    play(session, "click[buy now]")
    session.restore(situation)
    assert session.page == page
    assert not session.is_done
