"""The visits that a server remembers: bounded in number, each under a key nobody can guess."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable

from agentrl.environments.webshop.browser.visit import Visit

MOST_VISITS = 256
"""Visits remembered; a further one takes the place of another."""


class Visits:
    """Visits by key, least recently used first."""

    def __init__(self, enter: Callable[[], Visit], limit: int = MOST_VISITS) -> None:
        """Remember none yet.

        Args:
            enter: Starts a visit.
            limit: How many are remembered.
        """
        self._enter = enter
        self._limit = limit
        self._visits: OrderedDict[str, Visit] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._visits)

    def find(self, key: str | None) -> Visit | None:
        """Return the visit of a key, or None where there is none (any more)."""
        visit = self._visits.get(key or "")
        if visit is not None:
            self._visits.move_to_end(key or "")
        return visit

    def start(self) -> tuple[str, Visit]:
        """Return a new visit and its key.

        Where there are too many, one that did nothing yet is forgotten, or else the one that was
        idle longest: a flood of requests without a key cannot end a game that is being played.
        """
        while len(self._visits) >= self._limit:
            idle = (key for key, visit in self._visits.items() if not visit.turns)
            del self._visits[next(idle, next(iter(self._visits)))]
        key = secrets.token_urlsafe(32)
        self._visits[key] = self._enter()
        return key, self._visits[key]
