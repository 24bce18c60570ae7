"""What a chat template puts round an observation, found by rendering marked texts once.

A rendered conversation is a run of ids cut at control ids. The run that holds the marked text is
spelled out and split there: the ids before it and after it are fixed, the text between them is
encoded in one piece with each observation, so that merges across the border come out as the
template's own rendering has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """The fixed surroundings of a text: `head + encode(lead + text + trail) + tail`."""

    head: tuple[int, ...]
    lead: str
    trail: str
    tail: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cutter:
    """Finds marked texts in rendered ids."""

    controls: frozenset[int]
    """Ids that no text encodes to and that text never merges with."""
    spell: Callable[[list[int]], str]
    """Returns the text of ids."""

    def cut(self, ids: Sequence[int], mark: str) -> Frame | None:
        """Return the surroundings of `mark`, or None where it cannot be found."""
        for start, stop in self._runs(ids):
            lead, found, trail = self.spell(list(ids[start:stop])).partition(mark)
            if found:
                return Frame(tuple(ids[:start]), lead, trail, tuple(ids[stop:]))
        return None

    def cut_after(
        self, ids: Sequence[int], answer: str, mark: str
    ) -> tuple[str, tuple[int, ...], Frame] | None:
        """Split what follows an answer.

        Args:
            ids: A rendered conversation that ends with an answer and a marked message.
            answer: The answer's text.
            mark: The marked text of the message.

        Returns:
            The text and the control id that close the answer (both may be empty) and the frame of
            the message that follows, or None where the texts cannot be found.
        """
        answered = self.cut(ids, answer)
        if answered is None:
            return None
        if mark in answered.trail:
            # A template without control ids: nothing closes the answer but the next message.
            lead, _, trail = answered.trail.partition(mark)
            return "", (), Frame((), lead, trail, answered.tail)
        frame = self.cut(answered.tail[1:], mark)
        return None if frame is None else (answered.trail, answered.tail[:1], frame)

    def _runs(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        start = 0
        for position, number in enumerate((*ids, -1)):
            if number == -1 or number in self.controls:
                if position > start:
                    yield start, position
                start = position + 1
