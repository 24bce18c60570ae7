"""The task sets: goals in splits, ours and the two that the literature uses.

Ours (`disjoint`) share no product between splits. The others are ranges of the original's shuffled
goals and are there for comparison with published numbers: most of their held-out goals ask for a
product that training has seen (see `leak`). In each, only `train` may be trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from agentrl.environments.webshop.disjoint import SHARES, DisjointGoals, Goals
from agentrl.environments.webshop.files import data_folder, sources
from agentrl.environments.webshop.goal_table import GoalTable, goal_table
from agentrl.environments.webshop.goals import GoalKind
from agentrl.environments.webshop.human import read_human_instructions
from agentrl.environments.webshop.original import OriginalGoals, seeded_draw
from agentrl.environments.webshop.panels import Panel, Positions, TaskIds, VariedSplit, WebShopTask
from agentrl.environments.webshop.shop import Shop, open_shop
from agentrl.errors import ConfigError, TaskError, did_you_mean
from agentrl.tasks import TaskSet

Protocol = Literal["disjoint", "original", "verl_agent"]
RANGES: Mapping[str, Mapping[str, tuple[int, int | None]]] = {
    "original": {"test": (0, 500), "eval": (500, 1500), "train": (1500, None)},
    "verl_agent": {"valid": (0, 500), "train": (500, None)},
}
"""The splits of the literature, as positions of the original's shuffled goals."""


def webshop_tasks(
    data: str | Path | None = None,
    *,
    protocol: Protocol = "disjoint",
    goals: Goals = "synthetic",
    price_seed: int = 0,
    price_variants: int = 1,
) -> TaskSet:
    """Return the tasks of a catalogue; made once per process, and most of it lies on the disk.

    Task ids are `<split>/<goal>-<hash>` and name the same task on every machine: the hash covers
    text, price bound and seed. A split without goals is left out.

    Args:
        data: A folder, or `small` (the default) or `full` for those in the data folder.
        protocol: `disjoint` for `train`, `valid` and `test` that share no product; `original` for
            `test` (positions 0 to 499), `eval` (500 to 1499) and `train` (the rest) of the
            original's shuffled goals; `verl_agent` for `valid` (0 to 499) and `train` (the rest).
        goals: `synthetic`, `human`, or with `disjoint` also `all`.
        price_seed: Prices and bounds are drawn from it.
        price_variants: How often the `train` split of `disjoint` holds each goal, every time with
            other prices and bounds (drawn from the seeds that follow `price_seed`).

    Raises:
        ConfigError: An option makes no sense.
        DataError: The data is missing or damaged.
    """
    _check("protocol", protocol, get_args(Protocol))
    _check("goals", goals, get_args(Goals))
    for name, number, least in (
        ("price_seed", price_seed, 0),
        ("price_variants", price_variants, 1),
    ):
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise ConfigError(f"{name} must be a whole number from {least}, not {number!r}")
    if protocol != "disjoint" and (goals == "all" or price_variants > 1):
        raise ConfigError(
            f"goals='all' and price_variants need protocol='disjoint', not {protocol!r}: the "
            "splits of the literature hold one kind of goal, each once"
        )
    return _tasks(data_folder(data).resolve(), protocol, goals, price_seed, price_variants)


def original_goals(
    folder: Path, kind: GoalKind = "synthetic", seed: int = 0
) -> tuple[OriginalGoals, Shop]:
    """Return the shuffled goals of the original, started with a seed, and the shop they are for."""
    shop, table, digest = catalogue_goals(folder, kind)
    return OriginalGoals(shop.products, table, kind, seeded_draw(table, kind, seed, digest)), shop


@lru_cache(maxsize=8)
def catalogue_goals(folder: Path, goals: Goals) -> tuple[Shop, GoalTable, str]:
    """Return a shop, the table of its goals, and a hash that stands for both.

    Raises:
        DataError: The data is missing or damaged, or there are no human instructions to take.
    """
    shop = open_shop(folder)
    has_human = sources(folder).human is not None
    human = read_human_instructions(folder) if has_human or goals == "human" else {}
    return shop, *goal_table(shop.products, shop.digest, human)


# Every environment of a process asks for the same.
@lru_cache(maxsize=8)
def _tasks(
    folder: Path, protocol: Protocol, goals: Goals, price_seed: int, price_variants: int
) -> TaskSet:
    if protocol == "disjoint":
        panels = _our_panels(folder, goals, price_seed, price_variants)
    else:
        assert goals != "all"
        panels = _position_panels(folder, protocol, goals, price_seed)
    ids = {split: TaskIds(split, panel) for split, panel in panels.items() if len(panel)}

    def load(task_id: str) -> WebShopTask:
        split = task_id.partition("/")[0]
        task = ids[split].find(task_id) if split in ids else None
        if task is None:
            raise TaskError(f"unknown WebShop task {task_id!r}; splits here: {', '.join(ids)}")
        return task

    return TaskSet(ids, load, fingerprint=lambda task_id: load(task_id).content())


def _our_panels(
    folder: Path, goals: Goals, price_seed: int, price_variants: int
) -> dict[str, Panel]:
    shop, table, digest = catalogue_goals(folder, goals)
    found = DisjointGoals(shop.products, table, goals, digest)
    variants = {split: price_variants if split == "train" else 1 for split in SHARES}
    return {split: VariedSplit(found, split, price_seed, variants[split]) for split in SHARES}


def _position_panels(
    folder: Path, protocol: Protocol, goals: GoalKind, price_seed: int
) -> dict[str, Panel]:
    found, _ = original_goals(folder, goals, price_seed)
    ranges = RANGES[protocol]
    least = max(first for first, _ in ranges.values())
    if len(found) <= least:
        raise ConfigError(
            f"protocol={protocol!r} needs more than {least} goals, and {folder} has {len(found)} "
            f"{goals} ones; use protocol='disjoint'"
        )
    return {
        split: Positions(found, first, len(found) if last is None else last, price_seed)
        for split, (first, last) in ranges.items()
    }


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"unknown {name} {value!r}; {did_you_mean(str(value), known)}")
