"""What loss options mean where they are left open, and which of them make no sense together.

Imports nothing heavy, so that a configuration can be checked before anything is built.
"""

from __future__ import annotations

from typing import Final

from agentrl.config import AdaptiveClipConfig, LearnerConfig
from agentrl.errors import ConfigError

CLIP_BOUNDS: Final = {"ppo": (0.2, 0.2), "gspo": (3e-4, 4e-4), "cispo": (1.0, 0.28)}
"""The published distances from 1 at which ratios are clipped; 1 below: no lower bound."""
AGGREGATIONS: Final = {
    "ppo": "token-mean",
    "gspo": "seq-mean-token-mean",
    "cispo": "token-mean",
}
MASK_BOUNDS: Final = {
    "none": (0.0, float("inf")),
    "token": (0.6, 1.4),
    "sequence": (0.5, 2.0),
    "geometric": (1 / 1.001, 1.001),
    "worst": (1e-4, 1e4),
}
"""The range in which ratios are not rejected."""


def clip_bounds(config: LearnerConfig) -> tuple[float, float]:
    """Return how far below and above 1 ratios are clipped."""
    low, high = CLIP_BOUNDS[config.loss]
    return (
        low if config.clip_low is None else config.clip_low,
        high if config.clip_high is None else config.clip_high,
    )


def aggregation(config: LearnerConfig) -> str:
    """Return how token losses become one number."""
    return config.aggregation or AGGREGATIONS[config.loss]


def importance_level(config: LearnerConfig) -> str:
    """Return whose probability ratio weighs token losses: token or sequence."""
    return config.importance_level or ("sequence" if config.loss == "gspo" else "token")


def mask_bounds(config: LearnerConfig) -> tuple[float, float]:
    """Return the range in which ratios are not rejected."""
    low, high = MASK_BOUNDS[config.importance_mask]
    return (
        low if config.importance_mask_low is None else config.importance_mask_low,
        high if config.importance_mask_high is None else config.importance_mask_high,
    )


def total_updates(config: LearnerConfig, total_steps: int) -> int:
    """Return how many updates make so many optimiser steps."""
    return max(total_steps // (config.epochs * config.minibatches), 1)


def check_options(config: LearnerConfig, total_steps: int | None) -> None:
    """Refuse loss options that make no sense together.

    Args:
        config: The learner's settings.
        total_steps: Optimiser steps of the whole run, where it is known.

    Raises:
        ConfigError: With the reason and the nearest combination that does make sense.
    """
    _check_loss(config)
    _check_sequences(config)
    _check_entropy(config, total_steps)
    _check_ranges(config)


def _check_loss(config: LearnerConfig) -> None:
    if config.loss != "ppo" and config.covariance != "none":
        raise ConfigError(
            f"learner.covariance={config.covariance} is defined by the clip of ppo, not of "
            f"{config.loss}: set learner.loss=ppo, or learner.covariance=none"
        )
    if config.adaptive_clip is None:
        if config.covariance == "kl" and (config.clip_low or config.clip_high):
            raise ConfigError(
                "learner.covariance=kl clips no ratio, so clip_low and clip_high do nothing: leave "
                "them unset, or set learner.covariance=clip"
            )
        return
    if config.loss != "ppo" or config.covariance == "kl":
        other = "covariance=kl" if config.loss == "ppo" else f"loss={config.loss}"
        raise ConfigError(
            f"learner.adaptive_clip searches the clip bounds of ppo, and learner.{other} has none: "
            "set learner.loss=ppo with learner.covariance none or clip, or learner.adaptive_clip="
            "null"
        )
    if config.clip_low is not None or config.clip_high is not None:
        raise ConfigError(
            "learner.adaptive_clip searches the clip bounds, so clip_low and clip_high do nothing: "
            "leave them unset and give adaptive_clip.low and adaptive_clip.high"
        )


def _check_sequences(config: LearnerConfig) -> None:
    if config.loss != "gspo":
        return
    if config.importance != "none" and importance_level(config) == "token":
        raise ConfigError(
            "learner.loss=gspo moves whole sequences, and importance weights of single tokens "
            "would tear them apart: set learner.importance_level=sequence, or "
            "learner.importance=none"
        )
    if config.importance_mask == "token":
        raise ConfigError(
            "learner.loss=gspo moves whole sequences, and rejecting single tokens would tear them "
            "apart: set learner.importance_mask to sequence, geometric or worst"
        )


def _check_entropy(config: LearnerConfig, total_steps: int | None) -> None:
    if config.entropy_smoothing is None:
        return
    if config.covariance != "none":
        raise ConfigError(
            f"learner.entropy_smoothing and learner.covariance={config.covariance} both steer the "
            "entropy, and nobody has measured them together: switch one of them off"
        )
    if config.entropy_coefficient > 0:
        raise ConfigError(
            "learner.entropy_smoothing has an entropy bonus of its own: set "
            "learner.entropy_coefficient=0 and its weight as learner.entropy_smoothing.weight"
        )
    if total_steps is None:
        raise ConfigError("learner.entropy_smoothing needs the length of the run: pass total_steps")


def _check_ranges(config: LearnerConfig) -> None:
    ranges = {"importance_mask": mask_bounds(config)}
    if config.importance == "icepop":
        ranges["importance"] = (config.importance_low, config.importance_high)
    if config.covariance == "clip":
        ranges["covariance"] = (config.covariance_low, config.covariance_high)
    if config.entropy_smoothing is not None:
        smoothing = config.entropy_smoothing
        ranges["entropy_smoothing"] = (smoothing.low, smoothing.high)
    for name, (low, high) in ranges.items():
        if not low < high:
            raise ConfigError(
                f"the range of learner.{name} from {low:g} to {high:g} is empty: give a lower "
                "bound below the upper one"
            )
    if config.adaptive_clip is not None:
        _check_search(config.adaptive_clip)


def _check_search(config: AdaptiveClipConfig) -> None:
    if not (0 < config.low[0] <= config.low[1] < 1 < config.high[0] <= config.high[1]):
        raise ConfigError(
            f"learner.adaptive_clip: low {list(config.low)} must rise from above 0 to below 1, and "
            f"high {list(config.high)} from above 1, as in [0.6, 0.9] and [1.2, 3]"
        )
