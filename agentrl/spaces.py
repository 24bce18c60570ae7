"""The space of free text: any string at all."""

from __future__ import annotations

from typing import Any

import gymnasium

_SAMPLE_ALPHABET = "abcdefghijklmnopqrstuvwxyz 0123456789"


class FreeText(gymnasium.Space[str]):
    """Every string; unlike `gymnasium.spaces.Text` it has no alphabet and no length limit."""

    def __init__(self, seed: int | None = None) -> None:
        """Create the space; `seed` seeds `sample`."""
        super().__init__(dtype=str, seed=seed)

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Return up to 24 random letters, digits and blanks: noise for smoke tests."""
        length = int(self.np_random.integers(1, 25))
        picks = self.np_random.integers(len(_SAMPLE_ALPHABET), size=length)
        return "".join(_SAMPLE_ALPHABET[i] for i in picks)

    def contains(self, x: Any) -> bool:
        """Return whether `x` is a string."""
        return isinstance(x, str)

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no fixed-size array form."""
        return False

    def __eq__(self, other: object) -> bool:
        """All free-text spaces are the same space."""
        return isinstance(other, FreeText)

    def __hash__(self) -> int:
        """Hash by kind, as equality does."""
        return hash(FreeText)

    def __repr__(self) -> str:
        """Return `FreeText()`."""
        return "FreeText()"
