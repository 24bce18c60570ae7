"""A slot: the place of an observation in a rendered conversation, checked against the renderer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from agentrl.dialogue.frames import Frame
from agentrl.dialogue.text import TextCoder

_PROBES = ("You see a desk 1.", "Zürich, 東京:\t{x} 'y'\nend", " \t padded \n")


@dataclass(frozen=True, slots=True)
class Slot:
    """Renders any observation into its frame."""

    frame: Frame
    coder: TextCoder
    trims: bool = False
    """Whether the template strips white space round the text."""
    lead_in: str = ""
    """Text encoded in front and cut off again, for tokenizers that treat a beginning specially."""

    def fill(self, text: str) -> list[int]:
        """Return the ids of `text` in its frame."""
        frame = self.frame
        inner = frame.lead + (text.strip() if self.trims else text) + frame.trail
        ids = self.coder.to_ids(self.lead_in + inner)
        if self.lead_in:
            ids = ids[len(self.coder.encode(self.lead_in)) :]
        return [*frame.head, *ids, *frame.tail]


def fit_slot(frame: Frame, coder: TextCoder, render: Callable[[str], Sequence[int]]) -> Slot | None:
    """Return the slot that renders as `render` does, or None where none does.

    Args:
        frame: The surroundings of a text.
        coder: Encodes text.
        render: Returns a rendered conversation whose end holds the text.
    """
    expected = [(probe, list(render(probe))) for probe in _PROBES]
    # Templates that trim in a way of their own may still differ for padded texts: harmless, since
    # what the slot renders is what the model reads.
    for probes in (expected, expected[:-1]):
        for trims, lead_in in product((False, True), ("", "\n")):
            slot = Slot(frame, coder, trims, lead_in)
            if all(_ends_with(ids, slot.fill(probe)) for probe, ids in probes):
                return slot
    return None


def _ends_with(ids: list[int], end: list[int]) -> bool:
    return ids[len(ids) - len(end) :] == end if len(ids) >= len(end) else False
