"""Both libraries against BM25 written out, and what they promise alike."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.environments.searchqa import index
from agentrl.environments.searchqa.index import Bm25Library
from agentrl.environments.searchqa.library import Passage, SmallLibrary, query_words, words_of
from agentrl.errors import MissingExtraError

SHELF = [
    Passage("Ada Holm", "A baker, born in Kesh. Her mother is Ada Vik."),
    Passage("Ada Vik", "A judge, born in Kesh. Her friend is Ada Holm. Her boss is Tom Holm."),
    Passage("Tom Holm", "A baker, born in Marn."),
    Passage("Kesh", "A town in Norland. Its mayor is Ada Holm."),
    Passage("Marn", "A town in Norland. Its mayor is Tom Holm."),
    Passage("Marn", "A river. It flows by Kesh, and by Kesh again."),
]


@pytest.fixture(scope="module")
def large():
    pytest.importorskip("bm25s")
    return Bm25Library(SHELF)


@pytest.fixture(params=["small", "large"])
def library(request):
    return SmallLibrary(SHELF) if request.param == "small" else request.getfixturevalue("large")


def by_hand(query: str, title_weight: int) -> list[tuple[float, int]]:
    """Return score and position of each passage that shares a word, by BM25 as it is written."""
    counts = [Counter(words_of(p.title) * title_weight + words_of(p.text)) for p in SHELF]
    mean = sum(count.total() for count in counts) / len(counts)
    scored = []
    for number, count in enumerate(counts):
        total = 0.0
        for word in query_words(query):
            holders = sum(word in other for other in counts)
            rarity = math.log(1 + (len(counts) - holders + 0.5) / (holders + 0.5))
            norm = 1.5 * (1 - 0.75 + 0.75 * count.total() / mean)
            total += rarity * count[word] / (count[word] + norm)
        if total > 0:
            scored.append((-total, number))
    return sorted(scored)


@pytest.mark.parametrize(
    "query", ["who was born in kesh", "mayor of norland", "baker from marn", "holm friend", "river"]
)
def test_ranking_is_that_of_bm25(library, query):
    weight = 3 if isinstance(library, SmallLibrary) else 1
    wanted = [number for _, number in by_hand(query, weight)]
    assert list(library.search(query, 100)) == wanted


def test_a_passage_of_that_name_stands_first(library):
    assert library.search("ada holm", 1) == (0,)
    assert library.search("  TOM, Holm. ", 2)[0] == 2
    assert library.search("Kesh", 6)[0] == 3
    assert library.search("Marn", 6)[:2] in ((4, 5), (5, 4))
    assert len(library.search("Marn", 1)) == 1


def test_no_passage_comes_twice(library):
    found = library.search("Ada Holm Kesh Marn", 100)
    assert len(set(found)) == len(found) == 6


@pytest.mark.parametrize("query", ["", "zebra", "!?", "\ud800", "\x00", "的"])
def test_nothing_is_found(library, query):
    assert library.search(query, 3) == ()


def test_a_query_of_stop_words_alone_searches_for_them(library):
    assert query_words("who is it") == ["who", "is", "it"]
    assert query_words("who is Ada") == ["ada"]
    assert library.search("it and by", 3) == (5,)


def test_a_huge_query_is_cut():
    words = " ".join(f"word{number}" for number in range(10_000))
    assert len(query_words(words)) == 64
    assert len(query_words("x" * 1_000_000)[0]) == 2000


@given(st.text(max_size=40), st.integers(1, 8))
def test_any_query_is_answered(query, count):
    library = SmallLibrary(SHELF)
    found = library.search(query, count)
    assert len(found) <= count
    assert (
        found
        == library.search(query, 100)[: len(found)]
        == SmallLibrary(SHELF).search(query, count)
    )


def test_an_empty_library():
    assert SmallLibrary([]).search("anything", 3) == ()


def test_the_index_is_kept(large, monkeypatch):
    monkeypatch.setattr(index, "_build", lambda *_: pytest.fail("the index was there already"))
    again = Bm25Library(SHELF)
    assert again.search("mayor", 3) == large.search("mayor", 3)
    assert again.digest == large.digest != index.digest_of(SHELF[::-1])


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    with pytest.raises(MissingExtraError, match=r"agentrl-framework\[searchqa\]"):
        Bm25Library(SHELF)
