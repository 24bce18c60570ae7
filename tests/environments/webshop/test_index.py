"""The index: Lucene's recorded rankings, building in blocks, and damage."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.environments.webshop import common, ranking
from agentrl.environments.webshop.index import MOST_TERMS, Index
from agentrl.environments.webshop.index_build import IndexBuilder
from agentrl.environments.webshop.porter import stem
from agentrl.environments.webshop.shop import open_shop
from agentrl.errors import DataError

WORDS = ["red", "blue", "lamp", "sofa", "shirt", "warm", "soft", "large"]


def build(folder: Path, texts: list[str], block_tokens: int = 1 << 22) -> Index:
    builder = IndexBuilder(folder, block_tokens)
    for number, text in enumerate(texts):
        builder.add(f"{-number % 97:03d}", text)
    builder.finish()
    return Index(folder)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return build(
        tmp_path / "index", ["red lamp", "blue lamp lamp", "", "red red sofa", "blue lamp lamp"]
    )


def test_all_rankings_recorded_from_lucene_are_exact(official_folder: Path) -> None:
    shop = open_shop(official_folder)
    asins = [product.asin for product in shop.products]
    with lzma.open(
        official_folder / "lucene_bm25_top50_gold.tsv.xz", "rt", encoding="utf-8"
    ) as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    assert len(rows) == 807
    assert shop.index.statistics.tokens == 107_608
    for query, *results in rows:
        found = shop.index.scores(query)
        expected = [result.split(":") for result in results]
        assert [asins[number] for number, _ in found] == [asin for asin, _ in expected], query
        gaps = [abs(s - float(e)) for (_, s), (_, e) in zip(found, expected, strict=True)]
        # Recorded with four decimals, equal ones a millionth apart.
        assert max(gaps, default=0) < 1e-4, query


def test_ties_go_to_the_lesser_name(index: Index) -> None:
    assert index.search("blue lamps") == [4, 1, 0]
    (first, second, _) = index.scores("blue lamps")
    assert first[1] == second[1]


def test_repeated_words_count_twice(index: Index) -> None:
    once, twice = index.scores("sofa")[0], index.scores("sofa sofas")[0]
    assert twice[0] == once[0] == 3
    assert twice[1] == pytest.approx(2 * once[1])


def test_what_nobody_has_is_not_found(index: Index) -> None:
    assert index.search("unheard") == index.search("") == index.search("the of") == []
    assert index.search("red", k=0) == []
    assert (index.frequency("lamp"), index.frequency("unheard")) == (3, 0)
    assert (len(index), index.statistics.documents_with_terms) == (5, 4)


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1),
    block=st.sampled_from([1, 7, 1000]),
)
def test_blocks_do_not_show(
    texts: list[str], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = build(tmp_path_factory.mktemp("whole") / "index", texts)
    parts = build(tmp_path_factory.mktemp("parts") / "index", texts, block)
    for query in ("red lamp", "warm soft large sofa", "shirt"):
        assert whole.scores(query) == parts.scores(query)


def test_common_terms_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(900)]
    plain = build(tmp_path / "plain", texts)
    monkeypatch.setattr(common, "LEAST", 5)
    monkeypatch.setattr(ranking, "FEW", 10)
    monkeypatch.setattr(ranking, "BUDGET", 0)
    tabled = build(tmp_path / "tabled", texts)
    table = np.load(tmp_path / "tabled" / "common.npy")
    assert table.shape == (len(WORDS), 900)
    assert (table > 0).sum() == sum(tabled.frequency(word) for word in map(stem, WORDS))
    for query in ("red lamp", "warm soft large sofa", "shirt", " ".join(WORDS)):
        monkeypatch.setattr(ranking, "FEW", 10**6)
        expected = plain.scores(query)
        monkeypatch.setattr(ranking, "FEW", 10)
        assert tabled.scores(query) == expected


@pytest.mark.parametrize(
    "query", ["a" * 100_000, "\0\x1b\ud800 lamp", "(.+)+[" * 9000, "lamp " * 20_000, "\udfff" * 9]
)
def test_absurd_queries_are_ordinary(index: Index, query: str) -> None:
    assert set(index.search(query)) <= {0, 1, 4}


def test_terms_beyond_lucenes_limit_do_not_count(index: Index) -> None:
    filler = " ".join(f"x{number}" for number in range(MOST_TERMS - 1))
    assert index.search(f"{filler} sofa") == [3]
    assert index.search(f"{filler} y sofa") == []


@pytest.mark.parametrize(
    "name", ["documents.npy", "terms.bin", "term_hashes.npy", "common.npy", "statistics.json"]
)
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_file_is_named(index: Index, tmp_path: Path, name: str, damage: str) -> None:
    file = tmp_path / "index" / name
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-3])
    elif name.endswith(".npy"):
        np.save(file, np.zeros(1, np.int32))
    else:
        file.write_bytes(b"[]")
    blamed = name if damage != "other" else ""
    with pytest.raises(DataError, match=f"{blamed}.* is damaged .*delete the folder"):
        Index(tmp_path / "index")
