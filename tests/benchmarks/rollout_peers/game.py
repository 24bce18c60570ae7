"""The game that all contenders play: trivial rules, text that is new in every turn."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable

_PLACES = ["cellar", "kitchen", "garden", "attic", "library", "workshop", "hall", "pantry"]
_THINGS = ["lamp", "rope", "key", "coin", "map", "bottle", "knife", "book", "candle", "mirror"]


class Game:
    """Take things from rooms for a fixed number of turns."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.turn = 0
        self.seed = 0

    def reset(self, seed: int) -> str:
        self.turn = 0
        self.seed = seed
        return f"You are a porter. Take what you are asked for. {self._view()}"

    def step(self, action: str) -> tuple[str, float, bool]:
        """Return observation, reward and whether the game is over."""
        self.turn += 1
        done = self.turn >= self.turns
        if not action.startswith("take "):
            return f"That is no way to behave. {self._view()}", -0.1, done
        return f"You took it. {self._view()}", 0.1, done

    def _view(self) -> str:
        mixed = (self.seed * 1_000_003 + self.turn * 7919) & 0xFFFFFFFF
        place = _PLACES[mixed % 8]
        thing = _THINGS[(mixed >> 3) % 10]
        return (
            f"You are in the {place} {mixed % 997}. On the shelf you see a {thing} "
            f"{mixed % 9973} and a {_THINGS[(mixed >> 7) % 10]} {self.turn}. What do you take?"
        )


def replies() -> list[str]:
    """Return what the scripted policy says: one of a thousand actions."""
    return [f"take {thing} {n}" for thing in _THINGS for n in range(100)]


def picker(seed: int) -> Callable[[], int]:
    """Return a cheap source of indices into `replies()`."""
    return random.Random(seed).choices(range(1000), k=4096).__iter__().__next__


def report(turns: int, seconds: float, **more: object) -> None:
    """Print one result as a line of JSON for the benchmark to read."""
    print(json.dumps({"turns": turns, "seconds": seconds, **more}))
    sys.stdout.flush()


clock = time.process_time
"""Processor time of this process: the machine may be shared, and everyone runs on one core."""
