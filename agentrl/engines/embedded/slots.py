"""Which slot of the key-value pool holds whose ids."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from agentrl.engines.base import Ids
from agentrl.engines.embedded.pool import KeyValuePool

_SHARED = 16
"""Shortest beginning that is worth copying from another sequence."""


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence's place in the pool."""

    index: int
    session: str = ""
    ids: Ids = field(default_factory=lambda: np.empty(256, np.int32))
    """What the sequence consists of, valid up to `known`."""
    known: int = 0
    """How many ids are known; those from `computed` on still have to go through the model."""
    computed: int = 0
    """How many ids have keys and values in the pool."""
    busy: bool = False

    def extend(self, ids: Ids) -> None:
        """Append known ids."""
        end = self.known + len(ids)
        if end > len(self.ids):
            grown = np.empty(max(end, 2 * len(self.ids)), np.int32)
            grown[: self.known] = self.ids[: self.known]
            self.ids = grown
        self.ids[self.known : end] = ids
        self.known = end

    def push(self, token: int) -> None:
        """Append one known id."""
        if self.known == len(self.ids):
            self.extend(np.array([token], np.int32))
            return
        self.ids[self.known] = token
        self.known += 1

    def common(self, ids: Ids, limit: int) -> int:
        """Return how many of the first `limit` ids equal `ids`."""
        size = min(limit, len(ids))
        differs = np.flatnonzero(self.ids[:size] != ids[:size])
        return int(differs[0]) if len(differs) else size


class SlotTable:
    """Hands out slots; keeps sessions' slots until released or squeezed out, oldest first."""

    def __init__(self, pool: KeyValuePool, cache_tokens: int) -> None:
        """Keep at most `cache_tokens` ids cached, except where running sequences need more."""
        self._pool = pool
        self._limit = cache_tokens
        self._slots: list[Slot] = []
        self._free: list[Slot] = []
        self._sessions: OrderedDict[str, Slot] = OrderedDict()
        self._beginnings: dict[bytes, Slot] = {}

    def claim(self, session: str, prompt: Ids, room: int, *, share: bool = True) -> Slot | None:
        """Return a busy slot that holds `prompt`, as much of it computed as the cache offers.

        Args:
            session: Whose cache to use and keep; empty for none.
            prompt: The ids, of which at least the last is left to compute.
            room: How many more ids may be appended.
            share: Whether to take over what other sequences have computed of the prompt.

        Returns:
            None while another running sequence is computing the beginning of this prompt: ask
            again after the next step and copy it.
        """
        slot = self._sessions.get(session) if session else None
        if slot is not None and slot.busy:
            slot, session = None, ""
        most = len(prompt) - 1
        own = slot.common(prompt, min(slot.computed, most)) if slot is not None else 0
        donor = self._donor(prompt) if share and own < _SHARED else None
        shared = 0
        if donor is not None and donor is not slot:
            shared = donor.common(prompt, min(donor.computed, most))
            if donor.busy and shared < donor.common(prompt, min(donor.known, most)):
                return None
        if slot is None:
            slot = self._new(session, len(prompt) + room)
        self._pool.ensure(len(self._slots), len(prompt) + room)
        if donor is not None and shared >= _SHARED:
            if donor is not slot:
                self._pool.copy(donor.index, slot.index, shared)
            own = shared
        slot.busy, slot.computed, slot.known = True, own, 0
        slot.extend(prompt)
        if len(prompt) > _SHARED:
            self._beginnings[prompt[:_SHARED].tobytes()] = slot
        return slot

    def finish(self, slot: Slot) -> None:
        """Take back a slot; a session's stays cached."""
        slot.busy = False
        if self._sessions.get(slot.session) is slot:
            self._sessions.move_to_end(slot.session)
        else:
            self._recycle(slot)

    def release(self, session: str) -> None:
        """Forget a session; a running sequence's slot is given back when it finishes."""
        slot = self._sessions.pop(session, None)
        if slot is not None and not slot.busy:
            self._recycle(slot)

    def clear(self) -> None:
        """Forget all ids: the weights have changed. No slot may be busy."""
        self._sessions.clear()
        self._beginnings.clear()
        self._free = list(self._slots)
        for slot in self._slots:
            slot.known = slot.computed = 0
            slot.busy = False

    @property
    def cached_tokens(self) -> int:
        """How many ids sessions and running sequences hold."""
        held = [*self._sessions.values(), *(s for s in self._slots if s.busy and not s.session)]
        return sum(slot.known for slot in held)

    def _new(self, session: str, size: int) -> Slot:
        self._squeeze(size)
        if self._free:
            slot = self._free.pop(0)
        else:
            slot = Slot(len(self._slots))
            self._slots.append(slot)
        slot.session = session
        if session:
            self._sessions[session] = slot
        return slot

    def _squeeze(self, size: int) -> None:
        excess = self.cached_tokens + size - self._limit
        for session, slot in list(self._sessions.items()):
            if excess <= 0:
                return
            if not slot.busy:
                excess -= slot.known
                self.release(session)

    def _donor(self, prompt: Ids) -> Slot | None:
        if len(prompt) <= _SHARED:
            return None
        return self._beginnings.get(prompt[:_SHARED].tobytes())

    def _recycle(self, slot: Slot) -> None:
        # The ids stay readable for `_donor` until the slot is used again: queue, not stack.
        slot.session = ""
        self._free.append(slot)
