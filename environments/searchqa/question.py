"""A question with its answer: what an episode is about, wherever it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentrl.environments.searchqa.library import Library


@dataclass(frozen=True, slots=True)
class Question:
    """All that an episode depends on."""

    text: str
    """The question in words."""
    answers: tuple[str, ...]
    """The reference answers, the main one first."""
    supporting: tuple[str, ...]
    """The titles of the passages that together hold the answer."""
    library: Library = field(repr=False)
    """Where the passages are searched for."""
    names: Mapping[int, Sequence[str]] | None = None
    """What each passage names, by its position, where that is known; -1 stands for the question."""
    searchable: frozenset[str] = frozenset()
    """Those of the names that have a passage of their own."""
    content: str = ""
    """Hash of all that decides what is asked (16 hex digits)."""


def content_hash(*parts: object) -> str:
    """Return a hash of plain values, equal on every machine (16 hex digits)."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
