from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.environments.searchqa.actions import answer, read_action, search


@pytest.mark.parametrize(
    ("text", "verb", "argument"),
    [
        ("search[Ada Holm]", "search", "Ada Holm"),
        (" Search [ Ada Holm ] ", "search", "Ada Holm"),
        ("ANSWER[42]", "answer", "42"),
        ("answer[Chain [of [fools]]]", "answer", "Chain [of [fools]]"),
        ("search[打开]\n", "search", "打开"),
    ],
)
def test_actions(text, verb, argument):
    assert read_action(text) == (verb, argument)


@pytest.mark.parametrize(
    "text",
    [
        "", "search", "search[]", "search[  ]", "search[a", "search a]", "answer(a)", "look[a]",
        "search[a] answer[b]", "search[a]]", "search[[a]", "answer[a] .", "so: answer[a]",
        "search[a\nb]", "search[a]\nanswer[b]", "[a]", "]" * 9, "[" * 9,
    ],
)  # fmt: skip
def test_what_is_no_action(text):
    assert read_action(text) is None


@given(st.text())
def test_any_text_is_read(text):
    found = read_action(text)
    assert found is None or (found.argument and found.argument in text)


@given(st.text(st.characters(exclude_characters="[]\n\r", exclude_categories=["Cs"]), min_size=1))
def test_what_is_written_is_read(words):
    for write in (search, answer):
        found = read_action(write(words))
        assert (found.argument if found else "") == words.strip()


def test_long_text_is_read_in_linear_time():
    assert read_action("search[" + "[" * 1_000_000 + "]" * 1_000_000 + "]") is not None
