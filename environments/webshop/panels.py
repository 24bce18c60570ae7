"""Tasks by position and by id: a split is a list of ids that are made when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from agentrl.environments.webshop.catalogue import Product
from agentrl.environments.webshop.disjoint import DisjointGoals, parse_address
from agentrl.environments.webshop.goals import Goal
from agentrl.environments.webshop.original import OriginalGoals
from agentrl.environments.webshop.prices import KeyedPrices, Prices

_HASH_DIGITS = 8
_LONGEST_ID = 100
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class WebShopTask:
    """One goal in a shop with settled prices: all that an episode depends on."""

    goal: Goal
    prices: Prices
    price_seed: int
    """The seed that prices and bounds were drawn from."""

    def price_of(self, product: Product) -> float:
        """Return what a product costs in this episode, in dollars."""
        return self.prices.of(product)

    def content(self) -> str:
        """Return a hash of the goal and the prices, equal on every machine (16 hex digits)."""
        parts = f"{type(self.prices).__name__}/{self.price_seed}/{self.goal.content()}"
        return hashlib.sha256(parts.encode()).hexdigest()[:16]


class Panel(Protocol):
    """The tasks of one split by position and by key."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def key(self, position: int) -> str:
        """Return the key of the task at a position."""
        ...

    def find(self, key: str) -> WebShopTask | None:
        """Return the task of a key, or None where the split has none."""
        ...


class Positions:
    """A range of the original's shuffled goals."""

    def __init__(self, goals: OriginalGoals, first: int, last: int, seed: int) -> None:
        """Take the goals from one position up to, without, another."""
        self._goals = goals
        self._range = range(first, last)
        self._seed = seed

    def __len__(self) -> int:
        """Return how many tasks there are."""
        return len(self._range)

    def key(self, position: int) -> str:
        """Return the position in the whole list."""
        return str(self._range[position])

    def find(self, key: str) -> WebShopTask | None:
        """Return the task at a position of the whole list, or None where it is not in the range."""
        is_number = key.isascii() and key.isdigit() and len(key) < 11 and str(int(key)) == key
        if not is_number or int(key) not in self._range:
            return None
        return WebShopTask(self._goals[int(key)], self._goals.prices, self._seed)


class VariedSplit:
    """One of our own splits, with each goal as often as there are price variants."""

    def __init__(self, goals: DisjointGoals, split: str, seed: int, variants: int) -> None:
        """Take the goals of a split, with prices from `variants` seeds that follow each other."""
        self._goals = goals
        self._split = split
        self._size = goals.size(split)
        self._seeds = range(seed, seed + variants)

    def __len__(self) -> int:
        """Return how many tasks there are."""
        return self._size * len(self._seeds)

    def key(self, position: int) -> str:
        """Return the goal's address, and after the first round the number of the round."""
        variant, place = divmod(range(len(self))[position], self._size)
        address = str(self._goals.address(self._split, place))
        return f"{address}-{variant}" if variant else address

    def find(self, key: str) -> WebShopTask | None:
        """Return the task of a key, or None where the split has none."""
        found = self._make(key, 0)
        if found is None and len(self._seeds) > 1:
            address, _, variant = key.rpartition("-")
            is_number = variant.isascii() and variant.isdigit() and variant == str(int(variant[:9]))
            if is_number and 0 < int(variant) < len(self._seeds):
                return self._make(address, int(variant))
        return found

    def _make(self, key: str, variant: int) -> WebShopTask | None:
        address = parse_address(key)
        if address is None or self._goals.split_of(address) != self._split:
            return None
        prices = KeyedPrices(self._seeds[variant])
        return WebShopTask(self._goals.goal(address, prices), prices, prices.seed)


class TaskIds(Sequence[str]):
    """The task ids of a split, made when they are asked for."""

    def __init__(self, split: str, panel: Panel) -> None:
        """Name the tasks of a split."""
        self._split = split
        self._panel = panel
        self._named = lru_cache(maxsize=_REMEMBERED)(self._name)

    def __len__(self) -> int:
        """Return how many tasks there are."""
        return len(self._panel)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # slices are not needed
        """Return the id at a position."""
        return self._named(self._panel.key(range(len(self))[index]))[0]

    def __contains__(self, item: object) -> bool:
        """Return whether `item` names a task of the split as it is today."""
        return isinstance(item, str) and self.find(item) is not None

    def find(self, task_id: str) -> WebShopTask | None:
        """Return the task of an id, or None where there is none or its content has changed."""
        split, _, rest = task_id.partition("/")
        if split != self._split or len(rest) > _LONGEST_ID:
            return None
        name, task = self._named(rest.rpartition("-")[0])
        return task if name == task_id else None

    def _name(self, key: str) -> tuple[str, WebShopTask | None]:
        """Return the id of a key, empty where there is no task, and the task."""
        task = self._panel.find(key)
        if task is None:
            return "", None
        return f"{self._split}/{key}-{task.content()[:_HASH_DIGITS]}", task
