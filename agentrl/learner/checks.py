"""Refusals of input that cannot be learned from."""

from __future__ import annotations

import numpy as np

from agentrl.batch import Batch, Bools, Floats
from agentrl.config import LearnerConfig
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


def check_rollout_logprobs(batch: Batch, needed: Bools, config: LearnerConfig) -> None:
    """Raise `DataError` where the engine's log-probabilities are missing and an option needs them.

    Args:
        batch: The batch.
        needed: The tokens that are trained, shape [tokens].
        config: The learner's settings.
    """
    by_probability = config.adaptive_clip is not None and config.adaptive_clip.by_probability
    if config.importance == config.importance_mask == "none" and not by_probability:
        return
    missing = np.flatnonzero(np.isnan(batch.logprobs) & needed)
    if len(missing):
        raise DataError(
            f"{place_of_token(batch, int(missing[0]))} has no log-probabilities of the engine; set "
            "learner.importance=none (and no importance_mask or adaptive_clip.by_probability) to "
            "train without them"
        )


def place_of_token(batch: Batch, token: int) -> str:
    """Return where a token of a batch stands, as `turn 3 of trajectory 'x'`."""
    turn = int(np.searchsorted(batch.token_offsets, token, "right")) - 1
    trajectory = int(np.searchsorted(batch.turn_offsets, turn, "right")) - 1
    first = int(batch.turn_offsets[trajectory])
    return f"turn {turn - first} of trajectory {batch.ids[trajectory]!r}"
