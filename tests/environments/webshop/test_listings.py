"""Lists by attribute, category and query: what going through the whole catalogue would find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agentrl.environments.webshop.listings import Listings, ListingsBuilder
from agentrl.environments.webshop.shelf import Shelf
from agentrl.environments.webshop.shop import open_shop
from agentrl.errors import DataError


@pytest.fixture
def folder(shop_folder: Path, tmp_path: Path) -> Path:
    builder = ListingsBuilder(tmp_path / "listings")
    for product in open_shop(shop_folder).products:
        builder.add(product)
    builder.finish()
    return tmp_path / "listings"


def test_all_lists_are_those_of_the_whole_catalogue(shop_folder: Path) -> None:
    shop = open_shop(shop_folder)
    products = list(enumerate(shop.products))
    for wanted in {product.category for _, product in products} | {"", "none"}:
        expected = [i for i, product in products if product.category == wanted]
        assert list(shop.listings.find("<c>", wanted)) == expected
    for wanted in {product.query for _, product in products} | {"", "none"}:
        expected = [i for i, product in products if product.query == wanted]
        assert list(shop.listings.find("<q>", wanted)) == expected
    for wanted in {name for _, product in products for name in product.attributes} | {""}:
        expected = [i for i, product in products if wanted in product.attributes]
        assert list(shop.listings.find("<a>", wanted)) == expected


def test_searches_that_find_the_same_have_one_key(shop_folder: Path) -> None:
    shelf = Shelf(open_shop(shop_folder))
    sofas = shelf.find(("<q>", "sofas", "for", "the", "home"), "")
    assert len(sofas.products) == 8
    assert sofas == shelf.find(("<q>", "", "sofas", "for", "the", "home", ""), "")
    assert sofas.key != shelf.find(("<q>", "lamps", "for", "the", "home"), "").key
    in_vain = (("<a>",), ("<c>",), ("<c>", "x"), ("unheard",))
    nothing = {shelf.find(words, "").key for words in in_vain}
    assert len(nothing) == 1


def test_what_was_searched_at_length_is_not_remembered(
    shop_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = open_shop(shop_folder)
    search, asked = type(shop.index).search, []

    def counting(index: Any, words: str, most: int) -> Any:
        asked.append(words)
        return search(index, words, most)

    monkeypatch.setattr(type(shop.index), "search", counting)
    shelf = Shelf(shop)
    for words in (("sofa",), ("sofa",), ("sofa", "x" * 2000), ("sofa", "x" * 2000)):
        shelf.find(words, "")
        shelf.listing(words, "", 1)
    assert list(map(len, asked)) == [4] + 4 * [2005]


def test_numbers_are_a_sequence(folder: Path) -> None:
    numbers = Listings(folder).find("<a>", "sturdy")
    assert (len(numbers), numbers[0], numbers[-1], type(numbers[0])) == (65, 0, 64, int)
    assert list(numbers[60:70]) == [60, 61, 62, 63, 64]
    assert list(numbers[70:]) == []
    assert numbers.index(7) == 7
    with pytest.raises(IndexError):
        numbers[65]


def test_an_attribute_that_is_repeated_lists_once(shop_folder: Path, tmp_path: Path) -> None:
    product = msgspec.structs.replace(open_shop(shop_folder).products[0], attributes=("a", "a"))
    builder = ListingsBuilder(tmp_path / "listings")
    builder.add(product)
    builder.finish()
    assert list(Listings(tmp_path / "listings").find("<a>", "a")) == [0]


@pytest.mark.parametrize("wanted", ["x" * 100_000, "\ud800", "\0", "sturdy\0"])
def test_absurd_wishes_find_nothing(folder: Path, wanted: str) -> None:
    assert len(Listings(folder).find("<a>", wanted)) == 0


@pytest.mark.parametrize("name", ["numbers.npy", "number_starts.npy", "terms.bin"])
def test_damaged_files_are_named(folder: Path, name: str) -> None:
    file = folder / name
    if name.endswith(".npy"):
        np.save(file, np.zeros(1, np.int32))
    else:
        file.write_bytes(b"")
    with pytest.raises(DataError, match=f"{name} is damaged .*delete the folder"):
        Listings(folder)
    file.unlink()
    with pytest.raises(DataError, match=f"{name} is damaged"):
        Listings(folder)
