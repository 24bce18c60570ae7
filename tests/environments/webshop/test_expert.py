"""The experts, and what they read out of an instruction."""

from __future__ import annotations

import pytest

from agentrl.environments.webshop import WebShop
from agentrl.environments.webshop.body import Card, Item, Listing
from agentrl.environments.webshop.catalogue import read_products
from agentrl.environments.webshop.expert import Shopper, choose_or_buy, lowest_price
from agentrl.environments.webshop.pages import ItemPage, ResultsPage, SubPage
from agentrl.environments.webshop.wish import read_wish


@pytest.mark.parametrize(
    ("instruction", "words", "options", "bound"),
    [
        (
            "Find me Slim Fit shirts with long sleeve with color: red, and size: x-large, "
            "and price lower than 40.00 dollars",
            "slim fit shirts with long sleeve red x-large",
            (("color", "red"), ("size", "x-large")),
            40.0,
        ),
        ("Find me lamps with usb port", "lamps with usb port", (), float("inf")),
        (
            "Find me lamps with style: one, and two, and size: 3",
            "lamps one, and two 3",
            (("style", "one, and two"), ("size", "3")),
            float("inf"),
        ),
        (
            "Find me sets with color: grey with dots, and size: 9",
            "sets grey with dots 9",
            (("color", "grey with dots"), ("size", "9")),
            float("inf"),
        ),
        ("i want [odd]\nthings, and price lower than 5.00 dollars", "i want odd things", (), 5.0),
        ("", "anything", (), float("inf")),
    ],
)
def test_wishes_are_read_from_the_text_alone(instruction, words, options, bound):
    wish = read_wish(instruction)
    assert (wish.words, wish.options, wish.bound) == (words, options, bound)


def test_all_synthetic_instructions_are_read_back(official_folder):
    env = WebShop(data=official_folder, split="test")
    for task in env.tasks.ids("test"):
        goal = env.tasks.get(task).data.goal
        assert read_wish(goal.text).options == goal.options


def test_persons_name_options_anywhere():
    wish = read_wish("i need a Large red-ish shirt that is dark green.")
    sizes = {"size": ("small", "large", "x-large"), "color": ("red", "green", "dark green", "")}
    assert wish.choices(sizes) == {"size": "large", "color": "dark green"}
    assert wish.missing({}) == 0


def test_prices_are_read_from_cards():
    prices = ["$5.5", "$5.5 to $9.0", "free", ""]
    assert [lowest_price(Card("B0", "t", price)) for price in prices] == [5.5, 5.5, 0.0, 0.0]


GOAL = "Find me sturdy lamps with size: large, and price lower than 20.00 dollars"
WORDS = ("sturdy", "lamps", "large")


def results(number, *cards):
    return ResultsPage(GOAL, WORDS, Listing(number, 50, cards))


def item(product, chosen=None):
    return ItemPage(GOAL, WORDS, 1, Item(product), chosen or {})


def test_the_shopper_passes_over_what_is_too_dear_and_tries_the_next(shop_folder):
    plain, *_, odd = read_products(shop_folder)
    shopper = Shopper(GOAL)
    page = results(1, Card("A", "t", "$25.0"), Card(odd.asin, "t", "$10.0"), Card("C", "t", "$9.0"))
    assert shopper.act(page) == f"click[{odd.asin}]"
    shopper.observe(item(odd))
    assert shopper.act(item(odd)) == "click[< Prev]", "it has no size"
    assert shopper.act(page) == "click[C]"
    shopper.observe(item(plain))
    assert shopper.act(item(plain)) == "click[large]"
    assert shopper.act(item(plain, {"size": "small"})) == "click[large]"
    assert shopper.act(item(plain, {"size": "large"})) == "click[Buy Now]"
    assert shopper.act(SubPage(GOAL, WORDS, 1, plain, {}, "Features")) == "click[< Prev]"


def test_the_shopper_settles_for_the_best_of_what_there_is(shop_folder):
    odd = list(read_products(shop_folder))[-1]
    shopper = Shopper(GOAL)
    page = results(1, Card(odd.asin, "t", "$10.0"))
    shopper.observe(page)
    shopper.observe(item(odd))
    shopper.observe(page)
    assert shopper.act(page) == f"click[{odd.asin}]"
    assert shopper.act(item(odd)) == "click[Buy Now]"


def test_the_shopper_starts_over_from_other_peoples_searches():
    page = ResultsPage(GOAL, ("nonsense",), Listing(1, 1, (Card("A", "t", "$1.0"),)))
    assert Shopper(GOAL).act(page) == "click[Back to Search]"


def test_options_that_cannot_be_chosen_are_passed_over(shop_folder):
    page = item(list(read_products(shop_folder))[-1])
    for choices in ({"color": "two"}, {"color": "description"}, {"color": "a [b]"}):
        assert choose_or_buy(page, choices) == "click[Buy Now]"
    assert choose_or_buy(page, {"color": "two", "fit type": "two"}) == "click[two]"


def test_experts_recover_from_whatever_happened(shop_folder):
    """From any page that clicking about leads to, both experts still finish."""
    for expert in ("search", "oracle"):
        env = WebShop(data=shop_folder, expert=expert, max_turns=60)
        _, info = env.reset(options={"task": env.tasks.ids("train")[3]})
        for action in (
            "search[home]",
            "click[Next >]",
            "nonsense",
            "search[zzzz]",
            "click[Next >]",
        ):
            _, _, _, _, info = env.step(action)
        while "expert_action" in info:
            _, reward, _, truncated, info = env.step(info["expert_action"])
            assert not truncated
        assert reward == 1.0


def test_how_well_the_experts_do_on_the_official_set(official_folder):
    for expert, least in (("search", 0.85), ("oracle", 0.97)):
        env = WebShop(data=official_folder, split="test", expert=expert, mode="text")
        wins = 0
        for task in list(env.tasks.ids("test"))[::7]:
            _, info = env.reset(options={"task": task})
            while "expert_action" in info:
                _, _, _, truncated, info = env.step(info["expert_action"])
                if truncated:
                    break
            wins += info["success"]
        assert wins >= least * len(env.tasks.ids("test")) / 7
