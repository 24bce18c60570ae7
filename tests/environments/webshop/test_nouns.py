from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from agentrl.environments.webshop.catalogue import read_products
from agentrl.environments.webshop.nouns import SPACY_MODEL, guess, spacy, tagger_named, words_of
from agentrl.errors import ConfigError, MissingExtraError


def test_the_table_has_every_name_of_the_small_set(official_folder: Path) -> None:
    tag = tagger_named()
    names = [product.name for product in read_products(official_folder)]
    digest = hashlib.sha256("\n".join(" ".join(tag(name)) for name in names).encode())
    # The table is data: the recorded rewards rest on it, so it must not change unseen.
    assert digest.hexdigest()[:16] == "64cc646823ab0105"
    # Context decides in the table, so it is not what the word list alone would say.
    assert sum(list(tag(name)) != guess(name, frozenset()) for name in names) > 500


def test_nouns_are_lower_case_in_order_and_repeated() -> None:
    name = (
        "Saireed UL Listed 2 Prong Power Cord for JBL Bar 3.1 Bar 2.1 Channel 4K Ultra HD Soundbar"
    )
    nouns = tagger_named()(name)
    assert nouns[:5] == ("saireed", "ul", "prong", "power", "cord")
    assert nouns.count("bar") == 2
    assert not {"for", "2", "listed"} & set(nouns)


def test_other_names_are_tagged_by_the_word_list() -> None:
    assert tagger_named()("Blue Wool Socks for Women, Pack of 3") == (
        "blue",
        "wool",
        "socks",
        "women",
        "pack",
    )


@pytest.mark.parametrize("name", ["", " ", "[[[", "123 456", "\ud800", "a" * 200_000, "é" * 999])
def test_absurd_names_are_tagged(name: str) -> None:
    assert len(tagger_named()(name)) <= 1


def test_words_of_a_name() -> None:
    assert words_of("A/B Test-Case 4K 12 T&Co's") == ["a", "b", "test-case", "4k", "t&co", "s"]


def test_taggers_by_name() -> None:
    assert tagger_named("packaged") is tagger_named("packaged")
    with pytest.raises(ConfigError, match="unknown tagger 'spacey'; did you mean 'spacy'"):
        tagger_named("spacey")

    def own(name: str) -> list[str]:
        return name.split()

    assert tagger_named(own) is own


def test_spacy_is_asked_for_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtraError, match=r"'spacy', which is not installed.*\[spacy\]"):
        tagger_named("spacy")
    broken = ModuleType("spacy")
    monkeypatch.setattr(broken, "load", Path("/nowhere").read_text, raising=False)
    monkeypatch.setitem(sys.modules, "spacy", broken)
    with pytest.raises(MissingExtraError, match=r"download en_core_web_sm"):
        tagger_named("spacy")


def test_spacy_gives_nouns_and_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(text: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(text=word, pos_=tag) for word, tag in map(split_tag, text.split())]

    def split_tag(word: str) -> list[str]:
        return word.split(":")

    library = ModuleType("spacy")
    monkeypatch.setattr(library, "load", {SPACY_MODEL: parse}.__getitem__, raising=False)
    monkeypatch.setitem(sys.modules, "spacy", library)
    spacy.cache_clear()
    assert tagger_named("spacy")("Red:ADJ Lamp:NOUN by:ADP IKEA:PROPN") == ("lamp", "ikea")
    spacy.cache_clear()
