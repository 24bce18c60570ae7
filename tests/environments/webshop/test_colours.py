from __future__ import annotations

import pytest

from agentrl.environments.webshop.colours import COLOURS, NOT_MATCHED, colour_class, plain_colour

# The original's unit cases.
CASES = [
    ("", ""),
    ("black forest", "black"),
    ("violet lavender", "lavender"),
    ("steelivy fuchsia", "fuchsia"),
    ("123alabaster", "alabaster"),
    ("webshop", "webshop"),
]


@pytest.mark.parametrize(("option", "plain"), CASES)
def test_the_first_colour_of_the_list_is_taken(option: str, plain: str) -> None:
    assert plain_colour(option) == plain


def test_there_are_as_many_colours_as_in_the_original() -> None:
    assert len(COLOURS) == len(set(COLOURS)) == 102
    assert list(COLOURS) == sorted(COLOURS)


def test_a_pair_is_reduced_only_where_an_element_is_a_colour() -> None:
    assert plain_colour(("color", "black")) == "black"
    assert plain_colour(("color", "black forest")) == ("color", "black forest")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("black forest", "black"),
        ("violet lavender", "lavender"),
        ("steelivy fuchsia", "fuchsia"),
        ("123alabaster", "alabaster"),
        ("webshop", NOT_MATCHED),
        ("webshopsteel", "steel"),
        ("leather black", "black"),
    ],
)
def test_colour_classes(name: str, expected: str) -> None:
    assert colour_class(name) == colour_class(name.upper()) == expected
