"""The learning rate as a pure function of the step, so that resuming needs nothing but the step."""

from __future__ import annotations

import math

from agentrl.config import LearnerConfig
from agentrl.errors import ConfigError


def learning_rate(config: LearnerConfig, step: int, total_steps: int | None) -> float:
    """Return the learning rate of a step.

    Linear warm-up over `warmup_steps` (the first step already learns), then constant, or half a
    cosine that would reach 0 one step after the last.

    Args:
        config: Base rate, schedule and warm-up.
        step: Optimiser steps taken so far.
        total_steps: Length of the run; the cosine needs it.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant" or total_steps is None:
        return config.learning_rate
    span = max(total_steps - config.warmup_steps, 1)
    progress = min((step - config.warmup_steps) / span, 1.0)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def check_schedule(config: LearnerConfig, total_steps: int | None) -> None:
    """Raise `ConfigError` where the schedule cannot be followed."""
    if config.schedule == "cosine" and total_steps is None:
        raise ConfigError("learner.schedule=cosine needs the length of the run: pass total_steps")
