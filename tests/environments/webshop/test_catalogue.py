from __future__ import annotations

import json
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentrl.environments.webshop.catalogue import Product, read_products
from agentrl.environments.webshop.files import data_folder
from agentrl.environments.webshop.goals import choices, combinations
from agentrl.errors import DataError

WriteCatalogue = Callable[..., Path]


@pytest.fixture
def write_catalogue(tmp_path: Path) -> WriteCatalogue:
    """Writes a catalogue of these records and returns its folder."""

    def write(*records: Any, labels: dict[str, Any] | None = None) -> Path:
        (tmp_path / "items_shuffle.json").write_text(json.dumps(records))
        (tmp_path / "items_ins_v2.json").write_text(json.dumps(labels or {}))
        return tmp_path

    return write


def record(asin: str = "B000000001", **fields: Any) -> dict[str, Any]:
    return {
        "asin": asin,
        "name": "Red Lamp",
        "full_description": "A lamp.",
        "pricing": "$12.50",
        "images": ["https://shop/lamp.jpg", "https://shop/other.jpg"],
        "product_category": "Home \u203a Lamps",
        "small_description": ["Bright ", "Red "],
        "customization_options": "",
        "category": "garden",
        "query": " Table Lamps ",
        **fields,
    }


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in record("B2").items() if name != field}


def only(folder: Path) -> Product:
    (product,) = read_products(folder)
    return product


def test_the_small_set(official_folder: Path) -> None:
    products = list(read_products(official_folder))
    instructed = [product for product in products if product.instruction is not None]
    assert len(products) == len({product.asin for product in products}) == 1000
    assert len(instructed) == 415
    assert sum(not product.attributes for product in products) == 185
    assert sum(combinations(choices(product)) for product in instructed) == 6910


def test_a_product_is_cleaned(write_catalogue: WriteCatalogue) -> None:
    options = {
        "Color": [{"value": " Red/Blue ", "image": "https://shop/red.jpg"}, {"value": "BLACK"}],
        "Size": None,
        "Scent": [],
    }
    labels = {
        "B000000001": {
            "attributes": ["easy clean"],
            "instruction": "Find me lamps",
            "instruction_attributes": ["easy clean"],
        }
    }
    product = only(write_catalogue(record(customization_options=options), labels=labels))
    assert product == Product(
        asin="B000000001",
        name="Red Lamp",
        title="Red Lamp",
        description="A lamp.",
        bullets=("Bright ", "Red "),
        category="garden",
        query="table lamps",
        product_category="Home \u203a Lamps",
        attributes=("easy clean",),
        price_text="$12.5",
        prices=(12.5,),
        options={"color": ("red | blue", "black"), "scent": ()},
        option_images={"red | blue": "https://shop/red.jpg", "black": ""},
        image="https://shop/lamp.jpg",
        rating="N.A.",
        instruction="Find me lamps",
        instruction_attributes=("easy clean",),
    )


@pytest.mark.parametrize(
    ("pricing", "prices", "text"),
    [
        ("$1,234.50", (1234.5,), "$1234.5"),
        ("$19.99$27.99", (19.99, 27.99), "$19.99 to $27.99"),
        ("$44.99 - $33.98", (44.99, 33.98), "$44.99 to $33.98"),
        ("$1$2$3", (1.0, 2.0), "$1.0 to $2.0"),
        ("", (100.0,), "$100.0"),
        (None, (100.0,), "$100.0"),
        (float("nan"), (100.0,), "$100.0"),
    ],
)
def test_prices(
    write_catalogue: WriteCatalogue, pricing: Any, prices: tuple[float, ...], text: str
) -> None:
    product = only(write_catalogue(record(pricing=pricing)))
    assert (product.prices, product.price_text) == (prices, text)


def test_fields_that_may_be_missing(write_catalogue: WriteCatalogue) -> None:
    fields = ("pricing", "customization_options", "images", "full_description", "small_description")
    bare = {name: value for name, value in record().items() if name not in fields}
    product = only(write_catalogue(bare))
    assert (product.prices, product.options, product.image) == ((100.0,), {}, "")
    assert (product.description, product.bullets) == ("", ("",))
    assert product.attributes == ("DUMMY_ATTR",)


def test_texts_that_were_not_found_are_empty(write_catalogue: WriteCatalogue) -> None:
    nothing = float("nan")
    folder = write_catalogue(
        record(name=None, full_description=nothing, product_category=None, category=nothing),
        record("B2", small_description=[None, "Red"]),
    )
    first, second = read_products(folder)
    texts = (first.name, first.title, first.description, first.product_category, first.category)
    assert texts == ("", "", "", "", "")
    assert second.bullets == ("", "Red")


def test_one_bullet_as_text_and_none_at_all(write_catalogue: WriteCatalogue) -> None:
    folder = write_catalogue(
        record(small_description="Bright"), record("B2", small_description=[]), record("B3")
    )
    bullets = [product.bullets for product in read_products(folder)]
    assert bullets == [("Bright",), (), ("Bright ", "Red ")]


def test_bad_and_repeated_numbers_are_left_out(write_catalogue: WriteCatalogue) -> None:
    folder = write_catalogue(
        record("nan"),
        record("B0000000012"),
        record("B1", name="first"),
        record("B1", name="second"),
        record("B2", name="third"),
    )
    assert [product.name for product in read_products(folder)] == ["first", "third"]
    assert [product.name for product in read_products(folder, limit=3)] == ["first"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (without("asin"), "record 2 is damaged: it has no 'asin'"),
        (without("query"), "record 2 is damaged: it has no 'query'"),
        (record("B2", name=7), "7 stands where a text should"),
        (record("B2", name="\ud800"), "surrogates not allowed"),
        (record("B2", pricing="$" + "9" * 400), "beyond all numbers"),
        (record("B2", query=None), "None stands where a text should"),
        (record("B2", pricing="twelve"), "no dollar sign"),
        (record("B2", pricing="$$"), "its price is no number"),
        (record("B2", pricing=12.5), "record 2 is damaged"),
        (record("B2", customization_options={"size": [{"image": ""}]}), "it has no 'value'"),
        (record("B2", customization_options={"size": ["small"]}), "record 2 is damaged"),
        (record("B2", small_description=[1]), "record 2 is damaged"),
        ("B2", "record 2 is damaged"),
        (None, "record 2 is damaged"),
    ],
)
def test_a_damaged_record_is_named(write_catalogue: WriteCatalogue, bad: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        list(read_products(write_catalogue(record(), bad)))
    assert "\n" not in str(caught.value)
    assert "items_shuffle.json" in str(caught.value)


def test_an_instruction_without_attributes_is_damage(write_catalogue: WriteCatalogue) -> None:
    labels = {"B000000001": {"attributes": [], "instruction": "Find me lamps"}}
    with pytest.raises(DataError, match="asks for no attribute"):
        list(read_products(write_catalogue(record(), labels=labels)))


def test_damaged_attributes_name_the_product(write_catalogue: WriteCatalogue) -> None:
    folder = write_catalogue(record(), labels={"B000000001": {"attributes": 7}})
    with pytest.raises(DataError, match=r"items_ins_v2.json, product 'B000000001' is damaged"):
        list(read_products(folder))
    (folder / "items_ins_v2.json").write_text("{")
    with pytest.raises(DataError, match=r"items_ins_v2.json is damaged"):
        list(read_products(folder))


def test_missing_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"no items_shuffle_1000\.json or items_shuffle\.json"):
        list(read_products(tmp_path))
    (tmp_path / "items_shuffle.json").write_text("[]")
    with pytest.raises(DataError, match=r"no items_ins_v2_1000\.json"):
        list(read_products(tmp_path))
    with pytest.raises(DataError, match="is not there"):
        data_folder(tmp_path / "none")
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"webshop_full is not there.*agentrl data get webshop"):
        data_folder("full")


def test_packed_files_are_read_alike(official_folder: Path, tmp_path: Path) -> None:
    packed = official_folder / "items_shuffle_1000.json.xz"
    (tmp_path / "items_shuffle.json").write_bytes(lzma.decompress(packed.read_bytes()))
    labels = (official_folder / "items_ins_v2_1000.json").read_bytes()
    (tmp_path / "items_ins_v2.json.xz").write_bytes(lzma.compress(labels))
    assert list(read_products(tmp_path)) == list(read_products(official_folder))


def test_a_damaged_packing_is_named(tmp_path: Path) -> None:
    (tmp_path / "items_ins_v2.json").write_text("{}")
    packed = lzma.compress(json.dumps([record()] * 1000).encode())
    (tmp_path / "items_shuffle.json.xz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"items_shuffle.json.xz.* damaged"):
        list(read_products(tmp_path))


def test_memory_does_not_grow_with_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "items_ins_v2.json").write_text("{}")
    with (tmp_path / "items_shuffle.json").open("w") as file:
        file.write("[")
        for number in range(8000):
            comma = "," if number else ""
            file.write(comma + json.dumps(record(f"B{number}", full_description="x" * 3000)))
        file.write("]")
    tracemalloc.start()
    count = sum(1 for _ in read_products(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 8000
    assert peak < (tmp_path / "items_shuffle.json").stat().st_size / 3
