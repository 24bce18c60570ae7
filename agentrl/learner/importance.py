"""What is done about tokens that the engine drew with another probability than the learner's.

    w      = exp(logp_old - logp_rollout)            of a token
    w      = product of its tokens' w                of a sequence
    TIS    L <- min(w, C) L
    IcePop L <- w L where low <= w <= high, else 0   (the token still counts in denominators)
    MIS    reject the token, or the sequence, where w is out of range: as if never sampled

Weights are constants, computed from the weights before the update. Rejection is independent of
weighting, and both may be on.

Sources: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"
(TIS); Ling Team 2025, arXiv 2510.18855 (IcePop); Liu et al. 2025, "When speed kills stability"
(sequence level, MIS, geometric mean).
"""

from __future__ import annotations

import numpy as np
import torch

from agentrl.batch import Bools, Floats, Ints
from agentrl.config import LearnerConfig
from agentrl.learner.aggregation import over_sequences, run_lengths
from agentrl.learner.losses import probability_ratio
from agentrl.learner.options import importance_level, mask_bounds


def importance_ratios(
    old_logprobs: torch.Tensor,
    rollout_logprobs: torch.Tensor,
    lengths: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the ratio that weighs each token, detached, shape [tokens].

    Args:
        old_logprobs: The learner's, under the weights before the update.
        rollout_logprobs: The engine's, as drawn.
        lengths: Tokens of each sequence, for the ratios of whole sequences; None: of tokens.
    """
    gaps = (old_logprobs - rollout_logprobs).detach()
    return probability_ratio(gaps if lengths is None else over_sequences(gaps, lengths, "sum"))


def importance_weights(ratios: torch.Tensor, config: LearnerConfig) -> torch.Tensor:
    """Return the weights of token losses, shape [tokens].

    Args:
        ratios: See `importance_ratios`.
        config: `importance` says how ratios become weights.
    """
    if config.importance == "none":
        return torch.ones_like(ratios)
    if config.importance == "tis":
        return ratios.clamp(max=config.importance_cap)
    inside = (ratios >= config.importance_low) & (ratios <= config.importance_high)
    return torch.where(inside, ratios, 0.0)


def uses_sequence_ratios(config: LearnerConfig) -> bool:
    """Return whether weights are those of whole sequences."""
    return config.importance != "none" and importance_level(config) == "sequence"


def rejected_tokens(
    log_ratios: Floats, chosen: Bools, sequences: Ints, config: LearnerConfig
) -> Bools:
    """Return the tokens that masked importance sampling rejects, shape [tokens].

    Args:
        log_ratios: logp_old - logp_rollout of each token, shape [tokens].
        chosen: The tokens that the policy chose: what sequences are made of. Shape [tokens].
        sequences: The sequence each token belongs to, shape [tokens].
        config: `importance_mask` and its bounds.
    """
    rejected = np.zeros(len(chosen), np.bool_)
    if config.importance_mask == "none" or not chosen.any():
        return rejected
    gaps = torch.from_numpy(np.asarray(log_ratios[chosen], np.float64))
    lengths = torch.from_numpy(run_lengths(sequences[chosen]))
    low, high = mask_bounds(config)
    least = most = gaps
    if config.importance_mask == "worst":
        least, most = over_sequences(gaps, lengths, "min"), over_sequences(gaps, lengths, "max")
    elif config.importance_mask != "token":
        is_product = config.importance_mask == "sequence"
        least = most = over_sequences(gaps, lengths, "sum" if is_product else "mean")
    outside = (probability_ratio(least) < low) | (probability_ratio(most) > high)
    rejected[chosen] = outside.numpy()
    return rejected
