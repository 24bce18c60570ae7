from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.environments.webshop.actions import click, read_action, search

ORIGINAL = re.compile(r"(.+)\[(.+)\]")


@given(st.text(alphabet="ab[]\n\r\u2028 S", max_size=14))
def test_actions_are_read_as_the_original_reads_them(text):
    found = ORIGINAL.match(text)
    wanted = None if found is None else (found[1], found[2].lower())
    assert read_action(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("search[Red Shoes]", ("search", "red shoes")),
        ("click[< Prev]", ("click", "< prev")),
        ("search[a [b] c]", ("search[a ", "b] c")),
        ("search[a] and so on", ("search", "a")),
        ("search[]", None),
        ("[a]", None),
        ("search", None),
        ("\nsearch[a]", None),
        ("search[a\nb]", None),
    ],
)
def test_forms_of_actions(text, wanted):
    assert read_action(text) == wanted


@pytest.mark.parametrize("text", ["[" * 1_000_000, "[]" * 500_000, "a[" * 500_000 + "]" * 3])
def test_bombs_for_regular_expressions_are_read_in_linear_time(text):
    read = read_action(text)
    assert read is None or len(read.name) + len(read.argument) < len(text)


def test_actions_are_written_as_they_are_read():
    assert read_action(search("a b")) == ("search", "a b")
    assert read_action(click("buy now")) == ("click", "buy now")
