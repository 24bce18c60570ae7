"""Which products have an attribute, a category or a query: lists on disk, made with the shop."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.mapped import damaged, map_array, save_array
from agentrl.environments.webshop.vocabulary import Vocabulary, write_vocabulary

ATTRIBUTE, CATEGORY, QUERY = "<a>", "<c>", "<q>"
"""The first word of a search that asks for a listing of each kind."""


class Numbers(Sequence[int]):
    """Numbers in a file, as a sequence of plain integers."""

    def __init__(self, values: NDArray[np.int32]) -> None:
        """Wrap an array, which is not copied."""
        self._values = values

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._values)

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[int]: ...

    def __getitem__(self, place: int | slice) -> int | Sequence[int]:
        """Return the number at a place, or those of a slice."""
        if isinstance(place, slice):
            numbers: list[int] = self._values[place].tolist()
            return numbers
        return int(self._values[place])


class ListingsBuilder:
    """Takes products one by one, in order, and writes `Listings`."""

    def __init__(self, folder: Path) -> None:
        """Start in an empty folder, which is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._numbers: defaultdict[str, array[int]] = defaultdict(lambda: array("i"))
        self._count = 0

    def add(self, product: Product) -> None:
        """Add the next product."""
        for label in labels(product):
            self._numbers[label].append(self._count)
        self._count += 1

    def finish(self) -> None:
        """Write the lists."""
        lists = list(self._numbers.values())
        order = write_vocabulary(self._folder, list(self._numbers)).tolist()
        starts = np.cumsum([0, *(len(lists[i]) for i in order)])
        numbers = np.empty(int(starts[-1]), np.int32)
        for place, i in enumerate(order):
            numbers[starts[place] : starts[place + 1]] = lists[i]
        save_array(self._folder / "number_starts.npy", starts)
        save_array(self._folder / "numbers.npy", numbers)


class Listings:
    """The lists on disk; any number of threads and processes may read them."""

    def __init__(self, folder: Path) -> None:
        """Open what a `ListingsBuilder` has written.

        Raises:
            DataError: A file is missing or damaged.
        """
        self._labels = Vocabulary(folder)
        self._starts = map_array(folder / "number_starts.npy")
        self._numbers = map_array(folder / "numbers.npy")
        if len(self._starts) != len(self._labels) + 1:
            raise damaged(folder / "number_starts.npy", "its size does not fit the others'")
        if len(self._numbers) != self._starts[-1]:
            raise damaged(folder / "numbers.npy", "its size does not fit the others'")

    def find(self, kind: str, wanted: str) -> Numbers:
        """Return the numbers of the products that have a label, ascending.

        Args:
            kind: `<a>`, `<c>` or `<q>`.
            wanted: The whole attribute, category or query, as the product has it.
        """
        place = self._labels.place(kind + wanted)
        if place is None:
            return Numbers(self._numbers[:0])
        start, end = self._starts[place : place + 2].tolist()
        return Numbers(self._numbers[start:end])


def labels(product: Product) -> Iterable[str]:
    """Return what a product is listed under: the kind of listing and the words asked for."""
    attributes = dict.fromkeys(ATTRIBUTE + attribute for attribute in product.attributes)
    return (*attributes, CATEGORY + product.category, QUERY + product.query)
