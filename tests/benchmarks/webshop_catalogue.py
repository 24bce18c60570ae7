"""A WebShop catalogue of any size, made from the real one by repetition with variation.

A copy of a product keeps a part of its words; the others are drawn from the words of the whole real
catalogue, as often as they occur there, so that document frequencies grow as they would; three in
a hundred are made up, so that the vocabulary grows too. Numbers, prices, attributes and queries
vary as well. The files are written as a stream, in the format of the original release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from agentrl.environments.webshop.files import opened, sources

FULL = 1_181_436
"""Products of the full catalogue."""
_MADE_UP = 0.03
_KEPT = (0.1, 0.8)
_BLOCK = 1 << 20


class _Pattern:
    """A real product, its words in one row."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        bullets = record["small_description"]
        self._texts = [record["name"], record["full_description"] or ""]
        self._texts += bullets if isinstance(bullets, list) else [bullets]
        self._bullets = len(self._texts) - 2
        groups: Mapping[str, Any] = record["customization_options"] or {}
        self._groups = {name: values for name, values in groups.items() if values}
        self._texts += [value["value"] for values in self._groups.values() for value in values]
        split = [text.split() for text in self._texts]
        self.words = np.array([word for words in split for word in words], dtype=object)
        self._ends = np.cumsum([len(words) for words in split]).tolist()

    def filled(self, words: list[str]) -> dict[str, Any]:
        """Return the texts of a record, written with other words."""
        starts = [0, *self._ends]
        texts = [" ".join(words[a:b]) for a, b in zip(starts, self._ends, strict=False)]
        values = iter(texts[2 + self._bullets :])
        options = {
            name: [{**value, "value": next(values)} for value in group]
            for name, group in self._groups.items()
        }
        return {
            "name": texts[0],
            "full_description": texts[1],
            "small_description": texts[2 : 2 + self._bullets],
            "customization_options": options or "",
        }


def write_catalogue(real: Path, folder: Path, count: int) -> None:
    """Write the files of a catalogue of so many products.

    Args:
        real: The folder of the real small catalogue.
        folder: Where to write; made if it is not there.
        count: How many products.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with opened(sources(real).products) as data:
        patterns = [_Pattern(record) for record in json.loads(data.read())]
    labels = list(json.loads(sources(real).attributes.read_text(encoding="utf-8")).values())
    _write(folder / "items_shuffle.json", "[]", _products(patterns, count))
    _write(folder / "items_ins_v2.json", "{}", _labels(labels, count))


def _products(patterns: Sequence[_Pattern], count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    pool = np.concatenate([pattern.words for pattern in patterns])
    queries = [pattern.record["query"] for pattern in patterns]
    for number in range(count):
        pattern = patterns[number % len(patterns)]
        other = queries[int(rng.integers(len(queries)))]
        changed = {
            "asin": _asin(number),
            "pricing": f"${rng.uniform(1, 300):.2f}",
            "query": other if rng.random() < 0.2 else pattern.record["query"],
        }
        words = _varied(pattern.words, pool, rng)
        yield msgspec.json.encode({**pattern.record, **pattern.filled(words), **changed})


def _varied(words: Any, pool: Any, rng: np.random.Generator) -> list[str]:
    """Return words of which many are replaced."""
    found = words.copy()
    fate = rng.random(len(found))
    change = np.flatnonzero(fate > rng.uniform(*_KEPT))
    found[change] = pool[rng.integers(0, len(pool), len(change))]
    for place in np.flatnonzero(fate > 1 - _MADE_UP):
        found[place] = f"x{int(rng.zipf(1.1)) % 10_000_000:x}"
    made: list[str] = found.tolist()
    return made


def _labels(labels: Sequence[dict[str, Any]], count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(1)
    encode = msgspec.json.encode
    for number in range(count):
        label = labels[number % len(labels)]
        if rng.random() < 0.2:
            other = labels[int(rng.integers(len(labels)))].get("attributes") or []
            label = {**label, "attributes": [*(label.get("attributes") or []), *other]}
        yield encode(_asin(number)) + b":" + encode(label)


def _asin(number: int) -> str:
    return f"B{number * 2_654_435_761 % 10**9:09d}"


def _write(file: Path, brackets: str, parts: Iterator[bytes]) -> None:
    with file.open("wb", buffering=_BLOCK) as out:
        out.write(brackets[:1].encode())
        for number, part in enumerate(parts):
            out.write(b",\n" * bool(number) + part)
        out.write(brackets[1:].encode())
