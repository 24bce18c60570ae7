"""The shop: built once, shared, and clear about what is wrong."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from agentrl.cache import cache_folder
from agentrl.environments.webshop import shop
from agentrl.environments.webshop.catalogue import read_products
from agentrl.environments.webshop.files import content_hash
from agentrl.environments.webshop.shop import document_text, open_shop
from agentrl.errors import DataError


def test_products_and_search_agree(shop_folder: Path) -> None:
    found = open_shop(shop_folder)
    products = list(read_products(shop_folder))
    assert list(found.products) == products
    assert len(found.index) == len(products)
    number = found.index.search("ivory kettles")[0]
    assert products[number].name.startswith("Ivory Kettle")
    assert found.products.find(products[number].asin) == number
    assert found.products.by_asin(products[number].asin) == products[number]
    assert found.products.find("B000000000") is None


def test_all_callers_share_one_shop(
    shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests of other environments may have named another cache since the shop was opened.
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path))
    shop._open.cache_clear()
    assert open_shop(shop_folder) is open_shop(str(shop_folder))
    assert (cache_folder() / "webshop" / open_shop(shop_folder).digest).is_dir()


def test_another_catalogue_is_another_shop(shop_folder: Path, tmp_path: Path) -> None:
    for file in shop_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    same = open_shop(tmp_path)
    products = tmp_path / "items_shuffle.json"
    products.write_text(products.read_text().replace("Sturdy", "Stout"))
    assert same.digest == open_shop(shop_folder).digest != open_shop(tmp_path).digest
    assert open_shop(tmp_path).index.search("stout")


def test_a_large_file_is_hashed_once(
    shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    for file in shop_folder.iterdir():
        (data / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("AGENTRL_CACHE", str(cache))
    monkeypatch.setattr(shop, "LARGE", 1)
    hashed: list[str] = []
    monkeypatch.setattr(
        shop, "content_hash", lambda file: hashed.append(file.name) or content_hash(file)
    )
    digest = open_shop(data).digest
    assert digest == open_shop(data).digest == open_shop(shop_folder).digest
    first = ["items_shuffle.json", "items_ins_v2.json"]
    assert hashed[:2] == first
    assert len(hashed) == 4
    products = data / "items_shuffle.json"
    products.write_text(products.read_text().replace("Sturdy", "Stout"))
    assert open_shop(data).digest != digest
    assert hashed[4:] == ["items_shuffle.json"]
    for entry in (cache / "webshop-hashes").iterdir():
        (entry / "hash.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"hash.txt is damaged .*delete the folder"):
        open_shop(data)


def test_the_text_that_is_found(shop_folder: Path) -> None:
    product = open_shop(shop_folder).products[0]
    assert document_text(product) == (
        f"{product.title} {product.description} {product.bullets[0]} size: small, large".lower()
    )
    odd = open_shop(shop_folder).products.by_asin("B0000000XY")
    assert ", and fit type: two, three" in document_text(odd)


def _open(folder: Path, results: multiprocessing.Queue[list[int]]) -> None:
    results.put(open_shop(folder).index.search("ivory kettles"))


def test_processes_build_at_the_same_time(
    shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path))
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_open, args=(shop_folder, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    expected = open_shop(shop_folder).index.search("ivory kettles")
    assert [results.get(timeout=60) for _ in workers] == [expected, expected]
    for worker in workers:
        worker.join()
    assert [entry.name for entry in (tmp_path / "webshop").iterdir()] == [
        open_shop(shop_folder).digest
    ]


def test_missing_and_empty_catalogues_are_told(shop_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="items_shuffle"):
        open_shop(tmp_path)
    (tmp_path / "items_ins_v2.json").write_text("{}")
    (tmp_path / "items_shuffle.json").write_text("[]")
    with pytest.raises(DataError, match=r"items_shuffle.json holds no product"):
        open_shop(tmp_path)
