"""The goals of a catalogue in a compact form: a few numbers per product, mapped from the disk.

Of the full catalogue's millions of goals none is kept: a goal is made again from its product and
its number when it is asked for. The table is made once per catalogue and shared by all processes.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from agentrl.cache import build_once
from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.goals import choices, combinations, distinct_choices
from agentrl.environments.webshop.human import HumanInstruction
from agentrl.errors import DataError

_VERSION = 1
_MOST_GOALS = 2**31
_HUMAN_FILE = "human.msgpack"


class Products(Protocol):
    """The products of a shop in the order of the catalogue."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, number: int, /) -> Product:
        """Return a product by its number."""
        ...

    def find(self, asin: str, /) -> int | None:
        """Return the number of a product, or None where the shop has none of that name."""
        ...


class HumanRow(msgspec.Struct, frozen=True, gc=False):
    """An instruction that a person wrote, with the product it is for."""

    product: int
    number: int
    """Its place among the product's instructions."""
    instruction: HumanInstruction


@dataclass(frozen=True)
class GoalTable:
    """What goals are made from. N is the number of products; arrays are read-only."""

    low: NDArray[np.float64]
    """[N] The price in dollars, or the first end of its range."""
    high: NDArray[np.float64]
    """[N] The other end; NaN where there is one price."""
    instructed: NDArray[np.bool_]
    """[N] Whether the product has a synthetic instruction."""
    starts: NDArray[np.int64]
    """[N + 1] The first synthetic goal of each product, as the original counts them."""
    distinct_starts: NDArray[np.int64]
    """[N + 1] The same, each combination of option values counted once."""
    weights: NDArray[np.float64]
    """[N] The weight of each of a product's synthetic goals."""
    family: NDArray[np.uint64]
    """[N] A hash that decides the product's split; equal for products asked for alike."""
    keys: NDArray[np.uint64]
    """[N] A hash of the product's number at Amazon."""
    human: tuple[HumanRow, ...]
    """The human instructions in the order of the catalogue."""

    def ranges(self) -> Iterator[tuple[float, ...]]:
        """Yield the price of each product, or the two ends of its range."""
        for low, high in zip(self.low.tolist(), self.high.tolist(), strict=True):
            yield (low,) if high != high else (low, high)


_ARRAYS = (
    "low",
    "high",
    "instructed",
    "starts",
    "distinct_starts",
    "weights",
    "family",
    "keys",
)


def goal_table(
    products: Products, digest: str, human: Mapping[str, tuple[HumanInstruction, ...]]
) -> tuple[GoalTable, str]:
    """Return the table of a catalogue, made if it is not in the cache, and a hash for it.

    Args:
        products: The products of a shop.
        digest: A hash of the files that they were read from.
        human: The human instructions by product; empty where there are none.

    Raises:
        DataError: The catalogue has more goals than can be numbered.
    """
    packed = msgspec.json.encode(human, order="sorted")
    key = f"{digest}-{hashlib.sha256(packed).hexdigest()[:8]}-{_VERSION}"
    entry = build_once("webshop-goals", key, lambda draft: _save(products, human, draft))
    return _load(entry), key


@lru_cache(maxsize=8)
def _load(entry: Path) -> GoalTable:
    arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    rows = msgspec.msgpack.decode((entry / _HUMAN_FILE).read_bytes(), type=tuple[HumanRow, ...])
    return GoalTable(**arrays, human=rows)


def _save(
    products: Products, human: Mapping[str, tuple[HumanInstruction, ...]], draft: Path
) -> None:
    total = len(products)
    arrays = {
        "low": np.zeros(total),
        "high": np.full(total, np.nan),
        "instructed": np.zeros(total, np.bool_),
        "starts": np.zeros(total + 1, np.int64),
        "distinct_starts": np.zeros(total + 1, np.int64),
        "family": np.zeros(total, np.uint64),
        "keys": np.zeros(total, np.uint64),
    }
    rows: list[HumanRow] = []
    weigher = _Weigher()
    for number in range(total):
        product = products[number]
        instructions = human.get(product.asin, ())
        rows.extend(HumanRow(number, place, one) for place, one in enumerate(instructions))
        _describe(product, number, arrays)
        goals = _count(product, number, arrays)
        weigher.add(product, goals)
    arrays["weights"] = weigher.weights()
    for name, values in arrays.items():
        np.save(draft / f"{name}.npy", values)
    (draft / _HUMAN_FILE).write_bytes(msgspec.msgpack.encode(rows))


def _describe(product: Product, number: int, arrays: dict[str, NDArray[Any]]) -> None:
    arrays["low"][number] = product.prices[0]
    if len(product.prices) > 1:
        arrays["high"][number] = product.prices[1]
    arrays["family"][number] = _hash(_family(product))
    arrays["keys"][number] = _hash(product.asin)
    arrays["instructed"][number] = product.instruction is not None


def _count(product: Product, number: int, arrays: dict[str, NDArray[Any]]) -> int:
    """Enter where the next product's goals begin, and return how many this one has."""
    is_instructed = product.instruction is not None
    counts = [combinations(choices(product)), combinations(distinct_choices(product))]
    for name, count in zip(("starts", "distinct_starts"), counts, strict=True):
        arrays[name][number + 1] = int(arrays[name][number]) + count * is_instructed
        if arrays[name][number + 1] > _MOST_GOALS:
            raise DataError(
                f"the options of the products up to {product.asin!r} give more than "
                f"{_MOST_GOALS:,} goals; read fewer products"
            )
    return counts[0] * is_instructed


def _family(product: Product) -> str:
    """Return what products have in common that must not lie on two sides of a split.

    It is the instruction, which some products share word for word, or else the name.
    """
    return " ".join((product.instruction or product.name).lower().split())


def _hash(text: str) -> int:
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    return int.from_bytes(digest[:8], "little")


class _Weigher:
    """Weighs goals as the original does: by how rare their attributes are among all goals."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._frequency = array("q")
        self._wanted = array("q")
        self._sizes = array("q")

    def add(self, product: Product, goals: int) -> None:
        wanted = product.instruction_attributes if goals else ()
        for attribute in wanted:
            known = self._ids.setdefault(attribute, len(self._ids))
            if known == len(self._frequency):
                self._frequency.append(0)
            self._frequency[known] += goals
            self._wanted.append(known)
        self._sizes.append(len(wanted))

    def weights(self) -> NDArray[np.float64]:
        found = np.zeros(len(self._sizes))
        at = 0
        for number, size in enumerate(self._sizes):
            if size:
                # Summed one by one, so that the last bit is the original's.
                rarity = sum(1.0 / self._frequency[one] for one in self._wanted[at : at + size])
                found[number] = rarity / size
                at += size
        return found
