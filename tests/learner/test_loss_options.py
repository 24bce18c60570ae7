"""Every loss option in whole updates: against autograd over the model's own logits, however packed.

The reference below knows nothing of packs, plans and gathered tokens: it goes through the batch
token by token and writes the loss down as the papers do.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.config import LearnerConfig, PolicyConfig
from agentrl.errors import CheckpointError, ConfigError, DataError
from agentrl.learner.learner import Learner
from agentrl.learner.packing import decision_tokens
from agentrl.learner.policy import Policy, load_policy

MakeBatch = Callable[..., Batch]

OPTIONS: dict[str, dict[str, Any]] = {
    "ppo": {},
    "gspo": {"loss": "gspo", "importance": "none", "clip_low": 0.05, "clip_high": 0.05},
    "gspo-turn-tis": {
        "loss": "gspo",
        "sequence": "turn",
        "clip_low": 0.1,
        "clip_high": 0.1,
        "importance_cap": 1.05,
    },
    "cispo": {"loss": "cispo"},
    "clip-cov": {"covariance": "clip", "covariance_share": 1.0, "covariance_low": 0.05},
    "kl-cov": {"covariance": "kl", "covariance_share": 0.5},
    "epo": {"entropy_smoothing": {"weight": 0.5, "penalty": 2.0, "low": 0.95, "high": 1.02}},
    "tis-sequence": {"importance_level": "sequence", "importance_cap": 1.05},
    "icepop": {"importance": "icepop", "importance_low": 0.8, "importance_high": 1.2},
    "icepop-turn": {
        "importance": "icepop",
        "importance_level": "sequence",
        "sequence": "turn",
        "importance_low": 0.8,
        "importance_high": 1.2,
    },
    "mis-token": {"importance_mask": "token", "importance_mask_low": 0.9},
    "mis-sequence": {
        "importance_mask": "sequence",
        "importance_mask_low": 0.8,
        "importance_mask_high": 1.25,
    },
    "mis-geometric": {
        "importance_mask": "geometric",
        "importance_mask_low": 0.9,
        "importance_mask_high": 1.1,
    },
    "mis-worst": {
        "importance_mask": "worst",
        "importance_mask_low": 0.7,
        "importance_mask_high": 1.4,
        "importance_level": "sequence",
    },
    "mis-token-tis-sequence": {
        "importance_mask": "token",
        "importance_mask_high": 1.1,
        "importance_level": "sequence",
        "importance_cap": 1.02,
    },
    "bapo": {"adaptive_clip": {"target": 0.64, "high": [1.01, 3.0]}},
    "bapo-unweighted": {
        "adaptive_clip": {"target": 0.58, "high": [1.01, 3.0], "by_probability": False}
    },
    "bapo-clip-cov": {
        "adaptive_clip": {"first": "low", "target": 0.6, "by_probability": False},
        "covariance": "clip",
        "covariance_share": 1.0,
        "covariance_low": 0.05,
    },
}


def make_learner(policy: Policy, **settings: Any) -> Learner:
    config = LearnerConfig(**{"learning_rate": 1e-2, "pack_tokens": 64, **settings})
    return Learner(policy, config, seed=0, total_steps=8)


def off_policy(policy: Policy, batch: Batch) -> tuple[Batch, dict[str, np.ndarray]]:
    """Return the batch and signals as if old weights and engine were near, but not the same."""
    rng = np.random.default_rng(5)
    now = make_learner(policy).signals(batch, ["old_logprob"])["old_logprob"]
    old = np.where(decision_tokens(batch), now + rng.normal(0, 0.3, len(now)), 0.0)
    drawn = old + np.where(decision_tokens(batch), rng.normal(0, 0.15, len(now)), 0.0)
    return dataclasses.replace(batch, logprobs=drawn.astype(np.float32)), {"old_logprob": old}


def second_gradient(
    policy: Policy,
    batch: Batch,
    advantages: np.ndarray,
    signals: dict[str, np.ndarray],
    settings: dict[str, Any],
    history: list[float],
) -> tuple[list[torch.Tensor], dict[str, float]]:
    """Return the gradient of the second epoch, whose first one leaves the weights alone."""
    learner = make_learner(policy, epochs=2, **settings)
    if learner._entropies is not None:
        learner._entropies.values = list(history)
    caught: list[list[torch.Tensor]] = []

    def descend(rate: float) -> tuple[float, bool]:
        parameters = list(policy.trainable().values())
        caught.append([p.grad.clone() for p in parameters])  # type: ignore[union-attr]
        for parameter in parameters:
            parameter.grad = None
        return 0.0, True

    learner._descend = descend  # type: ignore[method-assign]
    report = learner.update(batch, advantages, signals=signals)
    return caught[1], report


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


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("windowed", [False, True])
def test_gradients_are_those_of_the_formula(
    policy: Policy, make_batch: MakeBatch, name: str, windowed: bool
) -> None:
    settings = OPTIONS[name]
    batch, signals = off_policy(policy, make_batch(5, seed=3, windowed=windowed, turns=(2, 4)))
    advantages = np.random.default_rng(1).normal(size=batch.num_turns)
    advantages[::4] = 0.0
    history = [2.3, 2.6]
    tokens = tokens_of(policy, batch, advantages, signals["old_logprob"])
    loss = reference_loss(tokens, LearnerConfig(**settings), history)
    expected = torch.autograd.grad(loss, list(policy.trainable().values()))
    found, report = second_gradient(policy, batch, advantages, signals, settings, history)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-5)
    # In the first epoch old log-probabilities stand for current ones, and others are picked.
    if not {"covariance", "adaptive_clip"} & settings.keys():
        assert report["loss"] == pytest.approx(float(loss.detach()), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_packing_changes_nothing(policy: Policy, make_batch: MakeBatch, name: str) -> None:
    reports, states = [], []
    batch, _ = off_policy(policy, make_batch(6, seed=4, turns=(2, 4)))
    advantages = np.random.default_rng(2).normal(size=batch.num_turns)
    advantages[::3] = 0.0
    weights = copy.deepcopy(policy.model.state_dict())
    for pack_tokens in (1, 40, 4096):
        policy.model.load_state_dict(weights)
        settings = {"pack_tokens": pack_tokens, "minibatches": 2, "learning_rate": 1e-4}
        learner = make_learner(policy, **settings, **OPTIONS[name])
        reports.append(learner.update(batch, advantages))
        states.append(learner.state_dict().get("entropy_history"))
    for other in reports[1:]:
        for key in other.keys() - {"forward_tokens"}:
            # kl_old is the square of steps so small that rounding shows in it.
            assert other[key] == pytest.approx(reports[0][key], rel=1e-3, abs=1e-5), key
    for other_state in states[1:]:
        assert other_state == (states[0] and pytest.approx(states[0], rel=1e-5))


def test_one_step_needs_no_forward_pass_for_sequences(
    policy: Policy, make_batch: MakeBatch
) -> None:
    """On-policy every ratio is 1: GSPO is the plain gradient, over what has an advantage."""
    batch = make_batch(6, turns=(3, 6))
    advantages = np.zeros(batch.num_turns)
    advantages[batch.turn_offsets[:-1]] = 1.0
    state = copy.deepcopy(policy.model.state_dict())
    plain = make_learner(policy, aggregation="seq-mean-token-mean", importance="none").update(
        batch, advantages
    )
    policy.model.load_state_dict(state)
    whole = make_learner(policy, loss="gspo", importance="none").update(batch, advantages)
    assert whole["grad_norm"] == pytest.approx(plain["grad_norm"], rel=1e-5)
    assert whole["forward_tokens"] == plain["forward_tokens"]
    policy.model.load_state_dict(state)
    several = make_learner(policy, loss="gspo", minibatches=2).update(batch, advantages)
    assert several["trained_tokens"] == int(decision_tokens(batch).sum())


def test_rejected_tokens_leave_the_denominator(policy: Policy, make_batch: MakeBatch) -> None:
    """Half the trajectories rejected: as if the others were the batch."""
    batch, _ = off_policy(policy, make_batch(4, seed=6))
    now = make_learner(policy).signals(batch, ["old_logprob"])["old_logprob"].astype(np.float32)
    trajectories = batch.trajectory_of_turn()[batch.turn_of_token()]
    foreign = (trajectories % 2 == 1) & decision_tokens(batch)
    batch = dataclasses.replace(batch, logprobs=np.where(foreign, now - 3, now))
    advantages = np.random.default_rng(0).normal(size=batch.num_turns)
    state = copy.deepcopy(policy.model.state_dict())
    report = make_learner(policy, importance_mask="sequence").update(batch, advantages)
    policy.model.load_state_dict(state)
    chosen = decision_tokens(batch)
    share = (chosen & foreign).sum() / chosen.sum()
    assert report["importance_masked"] == pytest.approx(share)
    kept = np.where(batch.trajectory_of_turn() % 2 == 1, 0.0, advantages)
    plain = make_learner(policy).update(batch, kept)
    assert report["loss"] == pytest.approx(plain["loss"] / (1 - share), rel=1e-4)
    assert report["trained_tokens"] == plain["trained_tokens"]


def test_all_rejected_moves_nothing(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(4)
    far = dataclasses.replace(batch, logprobs=np.full(batch.num_tokens, -90.0, np.float32))
    for extra in ({}, {"entropy_smoothing": {}}, {"covariance": "kl"}, {"adaptive_clip": {}}):
        learner = make_learner(policy, importance_mask="token", minibatches=2, **extra)
        report = learner.update(far, np.ones(batch.num_turns))
        assert report["optimiser_steps"] == 0
        assert report["importance_masked"] == 1.0
        assert all(math.isfinite(value) for value in report.values())


def test_figures_of_the_options(policy: Policy, make_batch: MakeBatch) -> None:
    batch, signals = off_policy(policy, make_batch(6, seed=3))
    advantages = np.random.default_rng(1).normal(size=batch.num_turns)

    def figures(**settings: Any) -> dict[str, float]:
        learner = make_learner(policy, learning_rate=1e-9, **settings)
        return learner.update(batch, advantages, signals=signals)

    chosen = int(decision_tokens(batch).sum())
    kl = figures(covariance="kl", covariance_share=0.1)
    assert kl["covariance_picked"] == pytest.approx(math.floor(0.1 * chosen) / chosen)
    assert kl["clip_fraction"] == 0.0
    found = figures(adaptive_clip={"target": 0.99})
    assert (found["adaptive_clip_low"], found["adaptive_clip_high"]) == (0.9, 3.0)
    assert 0 < found["adaptive_clip_share"] < 0.99
    assert figures(importance_cap=1.0)["importance_cut"] > 0.2
    assert figures(importance_cap=100.0)["importance_cut"] == 0.0
    smoothed = figures(entropy_smoothing={})
    assert smoothed["smoothing_beta"] == 2.0
    assert smoothed["smoothing_penalty"] == 0.0
    assert smoothed["turn_entropy"] == pytest.approx(smoothed["entropy"], rel=0.1)
    assert not {"importance_cut", "turn_entropy", "covariance"} & figures(importance="none").keys()


def test_the_history_of_entropies_grows_and_resumes(model_dir: Path, make_batch: MakeBatch) -> None:
    batch = make_batch(4)
    policy = load_policy(PolicyConfig(model=str(model_dir)))
    settings = {"entropy_smoothing": {"low": 0.9, "high": 1.1}, "minibatches": 2}
    learner = make_learner(policy, **settings)
    reports = [learner.update(batch, np.ones(batch.num_turns)) for _ in range(2)]
    state = copy.deepcopy(learner.state_dict())
    assert state["entropy_history"] == [report["turn_entropy"] for report in reports]
    resumed = make_learner(load_policy(PolicyConfig(model=str(model_dir))), **settings)
    resumed.load_state_dict(state)
    third = learner.update(batch, np.ones(batch.num_turns))
    assert third["smoothing_centre"] == pytest.approx(np.mean(state["entropy_history"]))
    assert resumed.update(batch, np.ones(batch.num_turns)) == third
    del state["entropy_history"]
    with pytest.raises(CheckpointError, match="entropy_smoothing"):
        resumed.load_state_dict(state)
    assert "entropy_history" not in make_learner(policy).state_dict()


def test_senseless_options_are_refused_before_anything_is_built(policy: Policy) -> None:
    with pytest.raises(ConfigError, match="importance_level=sequence"):
        make_learner(policy, loss="gspo", importance_level="token")


def test_missing_engine_logprobs_are_told(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(4)
    missing = batch.logprobs.copy()
    token = int(np.flatnonzero(decision_tokens(batch))[-1])
    missing[token] = np.nan
    batch = dataclasses.replace(batch, logprobs=missing)
    with pytest.raises(DataError, match=r"of trajectory 't3' has no log-probabilities"):
        make_learner(policy).update(batch, np.ones(batch.num_turns))
    report = make_learner(policy, importance="none").update(batch, np.ones(batch.num_turns))
    assert report["optimiser_steps"] == 1
