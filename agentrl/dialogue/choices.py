"""Restricted decoding: which ids continue at least one of the allowed id sequences.

Every choice ends in a stop id, so a choice that is the beginning of another is told apart by
where it stops. Engines mask logits with `ChoiceTrie`; the dialogue records the same sets for the
learner, which must normalise over them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from agentrl.engines.base import Ids
from agentrl.trajectory import Allowed

Choices = tuple[tuple[int, ...], ...]
"""Id sequences, each ending in a stop id."""


class ChoiceTrie:
    """The tree of all prefixes of a set of id sequences; nodes are small integers."""

    __slots__ = ("_children", "_edges")

    def __init__(self, choices: Iterable[Sequence[int]]) -> None:
        """Build the tree; its cost is linear in the total length of `choices`."""
        edges: list[dict[int, int]] = [{}]
        for choice in choices:
            node = 0
            for token in choice:
                following = edges[node].get(token)
                if following is None:
                    following = edges[node][token] = len(edges)
                    edges.append({})
                node = following
        self._edges = edges
        self._children: dict[int, Ids] = {}

    def start(self) -> int:
        """Return the node before the first id."""
        return 0

    def children(self, node: int) -> Ids:
        """Return the ids that may follow, ascending, shape [n]; empty after a whole choice."""
        ids = self._children.get(node)
        if ids is None:
            ids = np.array(sorted(self._edges[node]), np.int32)
            ids.flags.writeable = False
            self._children[node] = ids
        return ids

    def advance(self, node: int, token: int) -> int | None:
        """Return the node after `token`, or None where no choice goes on with it."""
        return self._edges[node].get(token)

    def allowed(self, response_ids: Sequence[int]) -> Allowed | None:
        """Return the set each id was drawn from, or None where the ids leave the tree."""
        node: int | None = 0
        sets: list[Ids] = []
        for token in response_ids:
            if node is None:
                return None
            sets.append(self.children(node))
            node = self._edges[node].get(token)
        if node is None:
            return None
        counts = np.fromiter(map(len, sets), np.int32, len(sets))
        return Allowed(np.concatenate(sets) if sets else np.empty(0, np.int32), counts)


@lru_cache(maxsize=2048)
def choice_trie(choices: Choices) -> ChoiceTrie:
    """Return the tree of `choices`; the engine and the dialogue of a turn share one."""
    return ChoiceTrie(choices)


def allowed_ids(choices: Choices, response_ids: Sequence[int] | Ids) -> Allowed | None:
    """Return the ids that each sampled id was chosen from.

    Args:
        choices: What decoding was restricted to.
        response_ids: What was sampled, shape [length]; a cut-off choice is fine.

    Returns:
        The sets, or None where the ids continue no choice: they were not sampled under this
        restriction (a replaying engine, for one).
    """
    tokens = response_ids.tolist() if isinstance(response_ids, np.ndarray) else response_ids
    return choice_trie(choices).allowed(tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Restriction:
    """A set of texts that decoding is restricted to, as ids."""

    choices: Choices
    texts: Mapping[tuple[int, ...], str]
    """The text behind each choice; of texts with equal ids, the first."""
    longest: int
    """Length of the longest choice."""

    def within(self, limit: int) -> Choices:
        """Return the choices of at most `limit` ids."""
        if self.longest <= limit:
            return self.choices
        return tuple(choice for choice in self.choices if len(choice) <= limit)


class ChoiceEncoder:
    """Turns texts into restrictions; sets of texts that come up again cost a look-up."""

    def __init__(self, encode: Callable[[str], Ids], stop_id: int) -> None:
        """Encode with `encode` and end each choice with `stop_id`."""
        self._encode = lru_cache(8192)(lambda text: (*encode(text).tolist(), stop_id))
        self._restrict = lru_cache(1024)(self._build)

    def __call__(self, texts: Sequence[str]) -> Restriction:
        """Return the restriction to `texts`."""
        return self._restrict(tuple(texts))

    def _build(self, texts: tuple[str, ...]) -> Restriction:
        by_ids: dict[tuple[int, ...], str] = {}
        for text in texts:
            by_ids.setdefault(self._encode(text), text)
        return Restriction(tuple(by_ids), by_ids, max(map(len, by_ids), default=0))
