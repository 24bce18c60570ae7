"""What is decided over a whole update or minibatch before gradients are taken.

Everything here is a statistic over all tokens of a minibatch, so that it does not depend on how
they are cut into packs: denominators, rejected tokens, covariances, clip bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from agentrl.batch import Batch, Bools, Floats, Ints
from agentrl.config import LearnerConfig
from agentrl.learner.adaptive_clip import Bounds, search_bounds
from agentrl.learner.aggregation import (
    aggregation_weights,
    sequence_of_token,
    turn_average_weights,
    whole_sequences,
)
from agentrl.learner.covariance import clip_cov_tokens, covariances, kl_cov_tokens
from agentrl.learner.entropy_smoothing import Corridor
from agentrl.learner.figures import Figures
from agentrl.learner.importance import rejected_tokens, uses_sequence_ratios
from agentrl.learner.losses import ppo_clip
from agentrl.learner.objective import MinibatchInputs
from agentrl.learner.options import aggregation, clip_bounds


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """What an update knows about the tokens of its batch, shape [tokens] each."""

    batch: Batch
    chosen: Bools
    """The tokens that the policy chose."""
    counted: Bools
    """Those that the loss is over: not rejected."""
    needed: Bools
    """Those that go through the forward pass."""
    measured: Bools
    """Those whose log-probabilities under the old weights are known, or will be after the first
    minibatch's forward pass."""
    advantages: Floats
    sequences: Ints
    """See `aggregation.sequence_of_token`."""
    are_whole: bool
    """Whether all of a sequence is needed where some of it is."""
    old_logprobs: Floats | None
    """None: the current ones."""
    reference_logprobs: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One optimiser step: arrays of shape [tokens]."""

    needed: Bools
    """The tokens that go through the forward pass."""
    weights: npt.NDArray[np.float32]
    inputs: MinibatchInputs | None = None
    """None when cloning."""
    picked: Bools | None = None
    entropy_weights: npt.NDArray[np.float32] | None = None


def needs_old_logprobs(config: LearnerConfig) -> bool:
    """Return whether an update needs log-probabilities from before its first step."""
    several = config.epochs * config.minibatches > 1
    return several or config.importance_mask != "none" or config.covariance != "none"


def plan_tokens(
    batch: Batch,
    chosen: Bools,
    advantages: Floats,
    config: LearnerConfig,
    measure: Callable[[Bools], dict[str, Floats]],
    *,
    knows_old: bool,
) -> Tokens:
    """Return what an update knows about the tokens of its batch.

    Args:
        batch: The batch.
        chosen: The tokens that the policy chose, shape [tokens].
        advantages: Shape [tokens].
        config: The learner's settings.
        measure: Returns `old_logprob` and `ref_logprob`, where they are known or needed, for (at
            least) the tokens of a mask.
        knows_old: Whether the first will be among them.
    """
    sequences = sequence_of_token(batch, config.sequence)
    are_whole = uses_sequence_ratios(config) or (config.loss == "gspo" and knows_old)

    def forwarded(counted: Bools) -> Bools:
        keep_all = (
            config.entropy_coefficient > 0
            or config.entropy_smoothing is not None
            or (config.kl == "loss" and config.kl_coefficient > 0)
        )
        needed = counted if keep_all else counted & (advantages != 0)
        return whole_sequences(needed, sequences, chosen) if are_whole else needed

    measures_all = config.importance_mask != "none" or config.covariance != "none"
    measured = chosen if measures_all else forwarded(chosen)
    signals = measure(measured)
    old = signals.get("old_logprob")
    counted = chosen
    if old is not None:
        gaps = old - batch.logprobs
        counted = chosen & ~rejected_tokens(gaps, chosen, sequences, config)
    return Tokens(
        batch=batch,
        chosen=chosen,
        counted=counted,
        needed=forwarded(counted),
        measured=measured,
        advantages=advantages,
        sequences=sequences,
        are_whole=are_whole,
        old_logprobs=old,
        reference_logprobs=signals.get("ref_logprob"),
    )


def plan_minibatch(
    tokens: Tokens,
    part: Bools,
    config: LearnerConfig,
    *,
    has_moved: bool,
    current: Callable[[Bools], Floats | None],
    corridor: Corridor | None,
    rng: np.random.Generator,
    figures: Figures,
) -> Plan:
    """Return what holds for one minibatch.

    Args:
        tokens: What is known about the batch.
        part: The minibatch's tokens, shape [tokens].
        config: The learner's settings.
        has_moved: Whether a step has been taken in this update.
        current: Returns the log-probabilities of a mask's tokens under the current weights; None
            where they are the old ones and were not measured.
        corridor: Of entropy smoothing.
        rng: Draws tokens for Clip-Cov.
        figures: Takes notes.
    """
    counted, needed = tokens.counted & part, tokens.needed & part
    low, high = clip_bounds(config)
    picked = entropy_weights = None
    if config.adaptive_clip is not None and counted.any():
        found = _search(tokens, counted, config, current)
        low, high = 1 - found.low, found.high - 1
        figures.note(
            adaptive_clip_low=found.low,
            adaptive_clip_high=found.high,
            adaptive_clip_share=found.share,
        )
    if config.covariance != "none" and counted.any():
        picked = _pick(tokens, counted, config, current, (low, high), rng, figures)
        needed = needed | picked if config.covariance == "kl" else needed
    if corridor is not None and counted.any():
        entropy_weights = turn_average_weights(tokens.batch, counted)
        figures.note(smoothing_beta=corridor.beta, smoothing_centre=corridor.centre or 0.0)
    if config.importance_mask != "none":
        chosen = int((tokens.chosen & part).sum())
        figures.note(importance_masked=1 - int(counted.sum()) / max(chosen, 1))
    weights = aggregation_weights(
        tokens.batch,
        counted,
        aggregation(config),
        norm_length=config.norm_length,
        sequences=tokens.sequences if config.loss == "gspo" else None,
    )
    inputs = MinibatchInputs(low, high, has_moved, corridor)
    return Plan(needed, weights, inputs, picked, entropy_weights)


def _search(
    tokens: Tokens,
    counted: Bools,
    config: LearnerConfig,
    current: Callable[[Bools], Floats | None],
) -> Bounds:
    assert config.adaptive_clip is not None
    wanted = counted & (tokens.advantages != 0)
    gaps = np.zeros(int(wanted.sum()))
    logprobs = current(wanted)
    if logprobs is not None and tokens.old_logprobs is not None:
        gaps = (logprobs - tokens.old_logprobs)[wanted]
    weights = np.ones(len(gaps))
    if config.adaptive_clip.by_probability:
        weights = np.exp(tokens.batch.logprobs[wanted].astype(np.float64))
    return search_bounds(gaps, tokens.advantages[wanted], weights, config.adaptive_clip)


def _pick(
    tokens: Tokens,
    counted: Bools,
    config: LearnerConfig,
    current: Callable[[Bools], Floats | None],
    bounds: tuple[float, float],
    rng: np.random.Generator,
    figures: Figures,
) -> Bools:
    logprobs, old = current(counted), tokens.old_logprobs
    assert logprobs is not None
    assert old is not None
    values = covariances(tokens.advantages[counted], logprobs[counted])
    if config.covariance == "kl":
        found = kl_cov_tokens(values, share=config.covariance_share)
    else:
        columns = (logprobs, old, tokens.advantages)
        is_clipped = ppo_clip(
            *(torch.from_numpy(column[counted]) for column in columns),
            clip_low=bounds[0],
            clip_high=bounds[1],
            dual_clip=config.dual_clip,
        ).is_clipped.numpy()
        found = clip_cov_tokens(
            values,
            is_clipped,
            low=config.covariance_low,
            high=config.covariance_high,
            share=config.covariance_share,
            rng=rng,
        )
    figures.note(covariance=float(values.mean()), covariance_picked=float(found.mean()))
    picked = np.zeros(len(counted), np.bool_)
    picked[counted] = found
    return picked
