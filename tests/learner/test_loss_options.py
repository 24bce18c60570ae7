"""Every loss option in whole updates: against autograd over the model's own logits, however packed.

What they are compared with is in `loss_reference`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loss_reference import reference_loss, tokens_of

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
        caught.append([p.grad.clone() for p in parameters if p.grad is not None])
        for parameter in parameters:
            parameter.grad = None
        return 0.0, True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "_descend", descend)
        report = learner.update(batch, advantages, signals=signals)
    return caught[1], report


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
