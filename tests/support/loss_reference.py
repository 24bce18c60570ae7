"""The losses as the papers write them: token by token, over the model's own logits.

It knows nothing of packs, plans and gathered tokens, so that autograd over it can be compared with
what the learner does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from agentrl.batch import Batch
from agentrl.config import LearnerConfig
from agentrl.learner.packing import decision_tokens
from agentrl.learner.policy import Policy


class Token:
    """One token that the policy chose."""

    def __init__(self, **values: Any) -> None:
        self.trajectory: int
        self.segment: int
        self.turn: int
        self.logp: torch.Tensor
        self.entropy: torch.Tensor
        self.old: float
        self.drawn: float
        self.advantage: float
        vars(self).update(values)

    @property
    def now(self) -> float:
        return float(self.logp.detach())


def tokens_of(policy: Policy, batch: Batch, advantages: np.ndarray, old: np.ndarray) -> list[Token]:
    chosen, turns = decision_tokens(batch), batch.turn_of_token()
    bounds = batch.token_offsets[batch.segment_offsets()]
    tokens = []
    for segment, (start, end) in enumerate(itertools.pairwise(bounds)):
        ids = torch.from_numpy(batch.token_ids[start:end].astype(np.int64))
        table = policy.model(ids[None]).logits[0].log_softmax(-1)
        for k in np.flatnonzero(chosen[start:end]):
            turn = int(turns[start + k])
            tokens.append(
                Token(
                    trajectory=int(batch.trajectory_of_turn()[turn]),
                    segment=segment,
                    turn=turn,
                    logp=table[k - 1, ids[k]],
                    entropy=-(table[k - 1].exp() * table[k - 1]).sum(),
                    old=float(old[start + k]),
                    drawn=float(batch.logprobs[start + k]),
                    advantage=float(advantages[turn]),
                )
            )
    return tokens


def reference_loss(
    tokens: list[Token], config: LearnerConfig, history: list[float]
) -> torch.Tensor:
    kind = config.sequence

    def mates(token: Token) -> list[Token]:
        return [t for t in tokens if getattr(t, kind) == getattr(token, kind)]

    kept = [t for t in tokens if not is_rejected(t, mates(t), config)]
    low, high = bounds_for(kept, config)
    losses = [policy_loss(t, mates(t), config, low, high) for t in kept]
    if config.covariance != "none":
        losses = with_covariance(kept, losses, config, low, high)
    if config.importance != "none":
        losses = [
            loss * importance(t, mates(t), config) for t, loss in zip(kept, losses, strict=True)
        ]
    if config.loss == "gspo":
        groups = {getattr(t, kind) for t in kept}
        means = [
            mean([loss for t, loss in zip(kept, losses, strict=True) if getattr(t, kind) == g])
            for g in groups
        ]
        total = mean(means)
    else:
        total = mean(losses)
    return total + smoothing(kept, config, history)


def mean(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(values).mean()


def is_rejected(token: Token, mates: list[Token], config: LearnerConfig) -> bool:
    low = config.importance_mask_low
    high = config.importance_mask_high
    gaps = [t.old - t.drawn for t in mates]
    if config.importance_mask == "none":
        return False
    if config.importance_mask == "token":
        ratios, published = [math.exp(token.old - token.drawn)], (0.6, 1.4)
    elif config.importance_mask == "sequence":
        ratios, published = [math.exp(sum(gaps))], (0.5, 2.0)
    elif config.importance_mask == "geometric":
        ratios, published = [math.exp(sum(gaps) / len(gaps))], (1 / 1.001, 1.001)
    else:
        ratios, published = [math.exp(gap) for gap in gaps], (1e-4, 1e4)
    low = published[0] if low is None else low
    high = published[1] if high is None else high
    return any(not low <= ratio <= high for ratio in ratios)


def importance(token: Token, mates: list[Token], config: LearnerConfig) -> float:
    level = config.importance_level or ("sequence" if config.loss == "gspo" else "token")
    gap = token.old - token.drawn
    if level == "sequence":
        gap = sum(t.old - t.drawn for t in mates)
    ratio = math.exp(gap)
    if config.importance == "tis":
        return min(ratio, config.importance_cap)
    return ratio if config.importance_low <= ratio <= config.importance_high else 0.0


def bounds_for(tokens: list[Token], config: LearnerConfig) -> tuple[float, float]:
    """Return the bounds on the ratio."""
    default = {"ppo": (0.2, 0.2), "gspo": (3e-4, 4e-4), "cispo": (1.0, 0.28)}[config.loss]
    low = 1 - (default[0] if config.clip_low is None else config.clip_low)
    high = 1 + (default[1] if config.clip_high is None else config.clip_high)
    if config.adaptive_clip is None:
        return low, high
    search = config.adaptive_clip
    (low, low_end), (high, high_end) = search.low, search.high

    def share() -> float:
        surrogate = [
            (t.advantage > 0, probability * abs(min(ratio * t.advantage, clipped * t.advantage)))
            for t in tokens
            for ratio in [math.exp(t.now - t.old)]
            for clipped in [min(max(ratio, low), high)]
            for probability in [math.exp(t.drawn) if search.by_probability else 1.0]
        ]
        return sum(s for good, s in surrogate if good) / sum(s for _, s in surrogate)

    for name in ("high", "low") if search.first == "high" else ("low", "high"):
        while share() < search.target:
            if name == "high" and high < high_end - 1e-9:
                high = min(high + search.high_step, high_end)
            elif name == "low" and low < low_end - 1e-9:
                low = min(low + search.low_step, low_end)
            else:
                break
    return low, high


def policy_loss(
    token: Token, mates: list[Token], config: LearnerConfig, low: float, high: float
) -> torch.Tensor:
    advantage = token.advantage
    ratio = (token.logp - token.old).exp()
    if config.loss == "cispo":
        weight = min(max(math.exp(token.now - token.old), low), high)
        return -weight * advantage * token.logp
    if config.loss == "gspo":
        constant = math.exp(sum(t.now - t.old for t in mates) / len(mates))
        ratio = constant * (token.logp - token.logp.detach()).exp()
    if config.covariance == "kl":
        return -advantage * ratio
    loss = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(low, high))
    if config.loss == "ppo" and advantage < 0:
        loss = loss.clamp(max=-3 * advantage)
    return loss


def with_covariance(
    tokens: list[Token],
    losses: list[torch.Tensor],
    config: LearnerConfig,
    low: float,
    high: float,
) -> list[torch.Tensor]:
    advantages = np.array([t.advantage for t in tokens])
    logprobs = np.array([t.now for t in tokens])
    values = (advantages - advantages.mean()) * (logprobs - logprobs.mean())
    if config.covariance == "kl":
        count = max(1, math.floor(config.covariance_share * len(tokens)))
        for index in np.argsort(-values)[:count]:
            losses[index] = losses[index] + (tokens[index].logp - tokens[index].old).abs()
        return losses
    for index, token in enumerate(tokens):
        ratio = math.exp(token.now - token.old)
        is_clipped = (token.advantage > 0 and ratio > high) or (token.advantage < 0 and ratio < low)
        if not is_clipped and config.covariance_low < values[index] < config.covariance_high:
            losses[index] = losses[index] * 0
    return losses


def smoothing(tokens: list[Token], config: LearnerConfig, history: list[float]) -> torch.Tensor:
    settings = config.entropy_smoothing
    if settings is None:
        return torch.zeros(())

    def average(value: Callable[[Token], torch.Tensor]) -> torch.Tensor:
        per_trajectory = []
        for trajectory in {t.trajectory for t in tokens}:
            own = [t for t in tokens if t.trajectory == trajectory]
            turns = {t.turn for t in own}
            per_trajectory.append(
                mean([mean([value(t) for t in own if t.turn == turn]) for turn in turns])
            )
        return mean(per_trajectory)

    def penalty(token: Token) -> torch.Tensor:
        centre = float(np.mean(history))
        below = (settings.low * centre - token.entropy).relu()
        above = (token.entropy - settings.high * centre).relu()
        return settings.penalty * (below + above)

    # 8 optimiser steps of 2 epochs are 4 updates, whose half is 2.
    beta = 1 + math.exp(-settings.decay * len(history) / 2)
    entropy = average(lambda token: token.entropy)
    return -settings.weight * (entropy - beta * average(penalty))
