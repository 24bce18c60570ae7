"""Values per turn and values per token, and how the one becomes the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from agentrl.batch import Batch
from agentrl.credit.base import Advantages, CreditMethod
from agentrl.errors import ConfigError

ValueLevel = Literal["turn", "token"]


def result_level(methods: Iterable[CreditMethod]) -> ValueLevel:
    """Return what `assign` gives one value per with these methods."""
    return "token" if any(method.level == "token" for method in methods) else "turn"


def level_of(batch: Batch, advantages: Advantages) -> ValueLevel:
    """Return what advantages must have one value per, from their number.

    Raises:
        ConfigError: They are of another batch; or the batch has as many tokens as turns, but not
            one token in each, so that their number does not tell.
    """
    turns, tokens = batch.num_turns, batch.num_tokens
    if advantages.shape == (turns,) == (tokens,) and (np.diff(batch.token_offsets) != 1).any():
        raise ConfigError(
            f"{turns} advantages may be of the {turns} turns or of the {tokens} tokens of this "
            "batch; say which, as in to_tokens(batch, advantages, level='turn')"
        )
    if advantages.shape == (turns,):
        return "turn"
    if advantages.shape == (tokens,):
        return "token"
    raise ConfigError(
        f"advantages of shape {advantages.shape} fit neither the {turns} turns nor the {tokens} "
        "tokens of the batch"
    )


def to_tokens(batch: Batch, advantages: Advantages, level: ValueLevel | None = None) -> Advantages:
    """Return one value per token: the turn's value at sampled tokens, 0 at all others.

    Args:
        batch: The batch that the advantages are of.
        advantages: Shape [turns], or [tokens] already.
        level: Which of the two; None: their number says so.

    Returns:
        Shape [tokens].

    Raises:
        ConfigError: The advantages are of another batch, or their number does not tell the level.
    """
    known = level or level_of(batch, advantages)
    length = batch.num_turns if known == "turn" else batch.num_tokens
    if advantages.shape != (length,):
        raise ConfigError(
            f"advantages of shape {advantages.shape} do not fit the {length} {known}s of the batch"
        )
    values = advantages[batch.turn_of_token()] if known == "turn" else advantages
    return np.where(batch.sampled, values, 0.0)
