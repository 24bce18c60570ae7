"""The analysis against tokens and terms recorded from Lucene, and against hostile text."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.environments.webshop import word_break
from agentrl.environments.webshop.analysis import STOP_WORDS, analyse, term_of
from agentrl.environments.webshop.porter import stem
from agentrl.environments.webshop.word_break import MAX_UNITS, cut, utf16_length

RECORDED = Path(__file__).with_name("fixtures") / "lucene_analysis.json.xz"


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads(lzma.decompress(RECORDED.read_bytes()))


def test_words_are_those_of_lucene(recorded: dict[str, Any]) -> None:
    wrong = {text: words for text, words in recorded["words"] if cut(text) != words}
    assert len(recorded["words"]) > 800
    assert wrong == {}


def test_terms_are_those_of_lucene(recorded: dict[str, Any]) -> None:
    wrong = {word: term for word, term in recorded["terms"].items() if term_of(word) != term}
    assert len(recorded["terms"]) >= 900
    assert wrong == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Men's 3.5mm a.b x-y", ["Men's", "3.5mm", "a.b", "x", "y"]),
        ("★★ 5⭐ best", ["★", "★", "5", "⭐", "best"]),
        ("橙色 case：black", ["橙", "色", "case：black"]),  # noqa: RUF001 - the mark itself
        ("👨‍👩‍👧 🇺🇸 👍🏽", ["👨‍👩‍👧", "🇺🇸", "👍🏽"]),
        ("__ _a_ a__b", ["_a_", "a__b"]),
    ],
)
def test_words_by_hand(text: str, words: list[str]) -> None:
    assert cut(text) == words


def test_terms_by_hand() -> None:
    assert analyse("The women's SHOES were washed, O’Neil’s") == [  # noqa: RUF001
        "women", "shoe", "were", "wash", "o’neil",  # noqa: RUF001
    ]  # fmt: skip
    assert len(STOP_WORDS) == 33


@pytest.mark.parametrize(
    ("word", "expected"),
    [("ponies", "poni"), ("hopping", "hop"), ("agreed", "agre"), ("feed", "feed"),
     ("relational", "relat"), ("adoption", "adopt"), ("logi", "logi"), ("sky", "sky"),
     ("as", "as"), ("controll", "control"), ("𒉈s", "𒉈")],
)  # fmt: skip
def test_stems_by_hand(word: str, expected: str) -> None:
    assert stem(word) == expected


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="abZ09_.,:;'\"# -\n", max_size=40))
def test_the_short_cut_for_ascii_equals_the_whole_grammar(text: str) -> None:
    signs = text.translate(word_break._signs())
    assert cut(text) == list(word_break._cut_with_care(text, signs))


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_cut_into_words_of_bounded_length(text: str) -> None:
    for word in cut(text):
        assert word in text
        assert 0 < utf16_length(word) <= MAX_UNITS
    assert all(analyse(text))


@pytest.mark.parametrize(
    "unit",
    ["a", "a.", "_", "_\u0301", "'", "#\u200d", "\ud800", "a_", "\u200d", "\U0001f1e6", "ℹ\u200d",  # noqa: RUF001
     "a\u0301.", "\0", "(.+)[", "1,", "\u0e31"],
)  # fmt: skip
def test_hostile_text_of_100_kb_takes_linear_time(unit: str) -> None:
    """An expression that ran through the text again and again would take minutes here."""
    assert isinstance(analyse(unit * (100_000 // len(unit))), list)


def test_words_are_cut_at_255_units() -> None:
    assert [len(word) for word in cut("x" * 600)] == [255, 255, 90]
    assert cut("_" * 300 + "a") == ["_" * 254 + "a"]
