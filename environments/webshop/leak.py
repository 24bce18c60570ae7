"""How much of the usual held-out splits training has seen; run as a module, it prints it.

The usual splits cut one shuffled list of goals in two. A product has one goal for each combination
of its options, so most held-out goals have twins in training that differ in a size or a colour. In
the widely copied training code each worker also shuffles the list with a seed of its own, so that
what one worker holds out another trains on (verl-agent, issue 262).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from agentrl.environments.webshop.files import data_folder
from agentrl.environments.webshop.tasks import RANGES, original_goals


@dataclass(frozen=True, slots=True)
class Leak:
    """Shares from 0 to 1."""

    goals: int
    """How many goals there are."""
    held_out_with_product_in_training: float
    """Held-out goals whose product has another goal in training; one permutation for all."""
    products_in_training: float
    """Held-out products that training has, too."""
    held_out_in_one_worker: float
    """Held-out goals of the validation workers in the pool of the first training worker."""
    held_out_in_any_worker: float
    """The same in the pool of any training worker."""


def usual_leak(
    products: Sequence[int],
    held_out: int = 500,
    *,
    seed: int = 0,
    training: int = 16,
    validation: int = 128,
) -> Leak:
    """Return what the usual split lets through.

    Args:
        products: The product of each goal, in the one shuffled order.
        held_out: How many goals at the front are held out.
        seed: The first training worker's; validation workers begin 1000 later.
        training: How many training workers there are.
        validation: How many validation workers there are.
    """
    numbers = np.asarray(products)
    outside, inside = numbers[:held_out], np.unique(numbers[held_out:])
    total = len(numbers)
    pools = [_shuffled(total, seed + worker)[held_out:] for worker in range(training)]
    validated = [_shuffled(total, seed + 1000 + worker)[:held_out] for worker in range(validation)]
    goals = np.unique(np.concatenate(validated))
    return Leak(
        goals=total,
        held_out_with_product_in_training=float(np.isin(outside, inside).mean()),
        products_in_training=float(np.isin(np.unique(outside), inside).mean()),
        held_out_in_one_worker=float(np.isin(goals, pools[0]).mean()),
        held_out_in_any_worker=float(np.isin(goals, np.concatenate(pools)).mean()),
    )


def _shuffled(total: int, seed: int) -> list[int]:
    order = list(range(total))
    Random(seed).shuffle(order)
    return order


def main() -> None:
    """Print the shares for the splits of the literature on a catalogue."""
    folder = data_folder(sys.argv[1] if len(sys.argv) > 1 else None)
    goals, _ = original_goals(folder)
    for name, ranges in RANGES.items():
        first = ranges["train"][0]
        print(f"{name}: {usual_leak(goals.product_numbers().tolist(), first)}")


if __name__ == "__main__":
    main()
