"""Which of several servers a request goes to: to the one that has seen most of its prompt.

A session stays with its server. The sessions of one group begin with the same prompt, so the
first one's server takes the others too, unless it has far more to do than another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agentrl.engines.vllm.client import Lost

_SPILL = 16
"""A group goes elsewhere when its server has so many sessions more than the least loaded one."""


@dataclass(slots=True)
class _Place:
    """One server's share."""

    sessions: set[str] = field(default_factory=set)
    passing: int = 0
    """Requests without a session that it works on."""
    is_down: bool = False

    @property
    def load(self) -> int:
        return len(self.sessions) + self.passing


class Router:
    """Spreads sessions over servers, which are known by their index."""

    def __init__(self, count: int, *, spill: int = _SPILL) -> None:
        """Route to `count` servers."""
        self._places = [_Place() for _ in range(count)]
        self._spill = spill
        self._homes: dict[str, int] = {}
        self._groups: dict[str, set[str]] = {}
        self._where: dict[str, int] = {}

    @property
    def up(self) -> list[int]:
        """The servers that are believed to work."""
        return [index for index, place in enumerate(self._places) if not place.is_down]

    @contextmanager
    def lease(self, session: str) -> Iterator[int]:
        """Give the server for a request of this session; empty: of none.

        Raises:
            Lost: All servers are down.
        """
        index = self._assign(session) if session else self._least()
        place = self._places[index]
        if session:
            yield index
            return
        place.passing += 1
        try:
            yield index
        finally:
            place.passing -= 1

    def release(self, session: str) -> None:
        """Forget a session; unknown ones are ignored."""
        index = self._where.pop(session, None)
        if index is None:
            return
        self._places[index].sessions.discard(session)
        group = _group(session)
        members = self._groups[group]
        members.discard(session)
        if not members:
            del self._groups[group]
            self._homes.pop(group, None)

    def suspend(self, index: int) -> None:
        """Route nothing to a server until `restore`; its sessions go elsewhere."""
        self._places[index].is_down = True
        for session in list(self._places[index].sessions):
            self.release(session)
        self._homes = {group: home for group, home in self._homes.items() if home != index}

    def restore(self, index: int) -> None:
        """Route to a server again."""
        self._places[index].is_down = False

    def loads(self) -> list[int]:
        """Return how many sessions and single requests each server has."""
        return [place.load for place in self._places]

    def _assign(self, session: str) -> int:
        known = self._where.get(session)
        if known is not None:
            return known
        least = self._least()
        group = _group(session)
        home = self._homes.setdefault(group, least)
        excess = self._places[home].load - self._places[least].load
        index = least if excess > self._spill else home
        self._where[session] = index
        self._places[index].sessions.add(session)
        self._groups.setdefault(group, set()).add(session)
        return index

    def _least(self) -> int:
        up = self.up
        if not up:
            raise Lost("no vLLM server can be reached; start them again")
        return min(up, key=lambda index: self._places[index].load)


def _group(session: str) -> str:
    """Return the group of a session, which is named `group/index`; others are their own."""
    group, slash, _ = session.rpartition("/")
    return group if slash else session
