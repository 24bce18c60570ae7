"""Refusals of input that cannot be learned from."""

from __future__ import annotations

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import Advantages
from agentrl.errors import ConfigError, DataError


def token_advantages(batch: Batch, advantages: Advantages) -> Floats:
    """Return one advantage per token, shape [tokens].

    Raises:
        DataError: There is not one value per turn or per token, or one is not finite.
    """
    values = np.asarray(advantages, np.float64)
    if values.shape not in ((batch.num_turns,), (batch.num_tokens,)):
        raise DataError(
            f"advantages have shape {values.shape}, but the batch has {batch.num_turns} turns and "
            f"{batch.num_tokens} tokens; give one value per turn or per token"
        )
    if not np.isfinite(values).all():
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"advantage {where} is {values[where]}; check the rewards of the environment"
        )
    return values if len(values) == batch.num_tokens else values[batch.turn_of_token()]


def check_temperature(temperature: float) -> None:
    """Raise `ConfigError` where actions were not sampled."""
    if not temperature > 0:
        raise ConfigError(
            f"cannot learn from actions sampled at temperature {temperature}: greedy decoding has "
            "no probabilities; set sampling.temperature above 0"
        )
