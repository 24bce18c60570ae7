"""A small shop of our own, in the files of the original release, with all that pages trip over."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KINDS = ("kettle", "lamp", "sofa", "shirt", "teapot", "mirror", "blanket", "clock")
COLOURS = ("red", "blue", "green", "ivory", "black", "amber", "white", "grey")


def record(number: int) -> dict[str, Any]:
    """One product of many that differ in kind and colour."""
    kind, colour = KINDS[number % 8], COLOURS[number // 8 % 8]
    return {
        "asin": f"B0{number:08d}",
        "name": f"{colour.title()} {kind.title()} for the Home, Model {number}",
        "full_description": f"A {colour} {kind} of number {number}.",
        "small_description": [f"Sturdy {kind}", f"Finished in {colour}"],
        "pricing": f"${number + 5}.50" if number % 3 else f"${number + 5}.00${number + 9}.00",
        "category": "garden",
        "query": f"{kind}s for the home",
        "product_category": f"Home › {kind.title()}s",  # noqa: RUF001 - the mark itself
        "images": [f"https://example.com/{number}.jpg"],
        "customization_options": {
            "size": [{"value": "Small", "image": None}, {"value": "Large", "image": None}]
        },
    }


def odd_record() -> dict[str, Any]:
    """A product with everything that could confuse a page."""
    options = {
        "Color": [
            "A1-Wine\u00a0Red",
            'the "quoted" one',
            "Description",
            "red/blue",
            "Two",
            "a [b]",
        ],
        "fit type": ["two", "three", "attributes", "next >", "<b>bold & 'more'"],
    }
    return {
        **record(0),
        "asin": "B0000000XY",
        "name": 'Peculiar <i>Vase</i> & Friends\' "Best" ☃',
        "full_description": "  ",
        "small_description": ["first ", "", " \n ", "<script>alert(1)</script>", "\u00a0"],
        "pricing": None,
        "query": "Peculiar Vases",
        "customization_options": {
            group: [{"value": value, "image": None} for value in values]
            for group, values in options.items()
        },
    }


def write_shop(folder: Path, records: list[dict[str, Any]]) -> Path:
    """Write a catalogue, an instruction for each product, and one by a person."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = {
        one["asin"]: {
            "attributes": ["sturdy", "easy clean"],
            "instruction": f"Find me sturdy {one['query'].lower()} of kind {one['asin'].lower()}",
            "instruction_attributes": ["sturdy"],
        }
        for one in records
    }
    human = {
        records[1]["asin"]: [
            {
                "instruction": f"i want a small {records[1]['name'].lower()} that is sturdy.",
                "instruction_attributes": ["sturdy"],
                "instruction_options": ["small"],
            }
        ]
    }
    for name, content in (
        ("items_shuffle.json", records),
        ("items_ins_v2.json", labels),
        ("items_human_ins.json", human),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the tests build out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTRL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of our own shop: 64 plain products and an odd one."""
    records = [*(record(number) for number in range(1, 65)), odd_record()]
    return write_shop(tmp_path_factory.mktemp("data") / "webshop", records)


@pytest.fixture(scope="session")
def official_folder() -> Path:
    """The folder of the official 1000-product set; skips where there is none."""
    folder = Path(os.environ.get("AGENTRL_DATA", "")) / "webshop_small"
    if not os.environ.get("AGENTRL_DATA") or not folder.is_dir():
        pytest.skip("needs AGENTRL_DATA with the small WebShop set")
    return folder
