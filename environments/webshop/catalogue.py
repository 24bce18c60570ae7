"""The products of the shop, cleaned as the original cleans them when it loads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from agentrl.environments.webshop.files import Sources, opened, sources
from agentrl.environments.webshop.json_stream import read_array
from agentrl.errors import DataError

MISSING_PRICE = 100.0
"""What a product without a price costs, in dollars."""
NO_ATTRIBUTES = ("DUMMY_ATTR",)
"""The attributes of a product that the attribute file does not know."""
NO_RATING = "N.A."
"""The rating of every product: the release comes without the file of reviews."""
_NOT_IN_A_NUMBER = re.compile(r"[^\d.]")
_LONGEST_ASIN = 10


class Product(msgspec.Struct, frozen=True, gc=False):
    """One product, as the original holds it after loading."""

    asin: str
    """The product's number at Amazon: its name everywhere."""
    name: str
    """What the type reward reads; equal to the title."""
    title: str
    description: str
    bullets: tuple[str, ...]
    """The features, as the page of that name lists them."""
    category: str
    """One of the five parts of the catalogue, such as `beauty`."""
    query: str
    """The search that found the product when the catalogue was made; lower case."""
    product_category: str
    """The path of categories, separated by `›`."""  # noqa: RUF001 - the mark itself
    attributes: tuple[str, ...]
    price_text: str
    """What the page shows: `$a`, or `$a to $b`."""
    prices: tuple[float, ...]
    """The price in dollars, or the two ends of its range; 100.0 where it is missing."""
    options: dict[str, tuple[str, ...]]
    """The values to choose from, by option group; lower case, in the order of the page."""
    option_images: dict[str, str]
    """The picture of an option value; empty where it has none."""
    image: str
    rating: str = NO_RATING
    reviews: tuple[str, ...] = ()
    """Empty: the release comes without the file of reviews."""
    instruction: str | None = None
    """The synthetic instruction without options and price, where the product has one."""
    instruction_attributes: tuple[str, ...] = ()
    """The attributes that the synthetic instruction asks for."""


class _Labels(msgspec.Struct, gc=False):
    """What the attribute file says of a product."""

    attributes: tuple[str, ...] | None = None
    instruction: str | None = None
    instruction_attributes: tuple[str, ...] | None = None


_NO_LABELS = _Labels()


def read_products(folder: Path, limit: int | None = None) -> Iterator[Product]:
    """Yield the products of a catalogue in the order of its file.

    Products with a damaged number are left out and of equal numbers the first is taken, as in the
    original. The products are read one by one; only the attribute file, a thirtieth of the
    catalogue, is held in memory while they are.

    Args:
        folder: The folder with the files, see `agentrl.environments.webshop.files.sources`.
        limit: Read only so many records from the start of the file.

    Raises:
        DataError: A file is missing or damaged; the message names file and record.
    """
    files = sources(folder)
    labels = _read_labels(files)
    seen: set[str] = set()
    for number, record in enumerate(read_array(files.products), start=1):
        if limit is not None and number > limit:
            return
        try:
            asin = record["asin"]
            if asin == "nan" or len(asin) > _LONGEST_ASIN or asin in seen:
                continue
            seen.add(asin)
            product = _clean(record, _labels_of(labels, asin, files.attributes))
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            raise DataError(_what_is_wrong(error, f"{files.products}, record {number}")) from error
        yield product


def _clean(record: Mapping[str, Any], labels: _Labels) -> Product:
    prices, price_text = _prices(record.get("pricing"))
    options, images = _options(record.get("customization_options"))
    bullets = record.get("small_description", "")
    name = _loose(record["name"])
    if labels.instruction is not None and not labels.instruction_attributes:
        raise ValueError("its instruction asks for no attribute")
    fields = {
        "asin": _text(record["asin"]),
        "name": name,
        "title": name,
        "description": _loose(record.get("full_description")),
        "bullets": [_loose(one) for one in (bullets if isinstance(bullets, list) else [bullets])],
        "category": _loose(record["category"]),
        "query": _text(record["query"]).lower().strip(),
        "product_category": _loose(record["product_category"]),
        "attributes": NO_ATTRIBUTES if labels.attributes is None else labels.attributes,
        "price_text": price_text,
        "prices": prices,
        "options": options,
        "option_images": images,
        "image": next(iter(record.get("images") or ()), None) or "",
        "instruction": labels.instruction,
        "instruction_attributes": labels.instruction_attributes or (),
    }
    return msgspec.convert(fields, Product)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} stands where a text should")
    if not value.isascii():
        value.encode()  # raises for halves of characters, which no file could hold
    return value


def _loose(value: Any) -> str:
    """Return a text, empty for null and NaN: what the makers of the catalogue did not find."""
    return "" if value is None or value != value else _text(value)


def _prices(pricing: str | None) -> tuple[tuple[float, ...], str]:
    """Return the price, or the ends of its range, and how the page writes it."""
    if not pricing or pricing != pricing:
        return (MISSING_PRICE,), f"${MISSING_PRICE}"
    parts = pricing.split("$")[1:3]
    if not parts:
        raise ValueError(f"the price {pricing!r} has no dollar sign")
    prices = tuple(float(Decimal(_NOT_IN_A_NUMBER.sub("", part))) for part in parts)
    if not all(map(isfinite, prices)):
        raise ValueError("its price is beyond all numbers")
    return prices, " to ".join(f"${price}" for price in prices)


def _options(groups: Any) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Return the option values by group, and the picture of each value that has one."""
    options: dict[str, tuple[str, ...]] = {}
    images: dict[str, str] = {}
    for group, contents in groups.items() if groups else ():
        if contents is None:
            continue
        values = [(_option_value(content), content.get("image") or "") for content in contents]
        images.update(values)
        options[_text(group).lower()] = tuple(value for value, _ in values)
    return options, images


def _option_value(content: Mapping[str, Any]) -> str:
    return _text(content["value"]).strip().replace("/", " | ").lower()


def _read_labels(files: Sources) -> dict[str, msgspec.Raw]:
    """Return what the attribute file says, undecoded: the full set's would fill the memory."""
    with opened(files.attributes) as data:
        content = data.read()
    try:
        return msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{files.attributes} is damaged: {error}; copy the file again") from error


def _labels_of(labels: dict[str, msgspec.Raw], asin: str, file: Path) -> _Labels:
    packed = labels.get(asin)
    if packed is None:
        return _NO_LABELS
    try:
        return msgspec.json.decode(packed, type=_Labels)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where = f"{file}, product {asin!r}"
        raise DataError(f"{where} is damaged: {error}; copy the file again") from error


def _what_is_wrong(error: Exception, where: str) -> str:
    if isinstance(error, KeyError):
        what = f"it has no {error}"
    elif isinstance(error, InvalidOperation):
        what = "its price is no number"
    else:
        what = " ".join(str(error).split())
    return f"{where} is damaged: {what}; mend the record or copy the file again"
