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


def advantages_for(batch: Batch, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=batch.num_turns)


def learner_for(
    policy: Policy, *, seed: int = 0, reference: bool | None = None, **settings: Any
) -> Learner:
    return Learner(
        policy,
        LearnerConfig(**{"learning_rate": 1e-2, "pack_tokens": 64, **settings}),
        seed=seed,
        reference=reference,
    )


def weights_of(policy: Policy) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in policy.trainable().items()}


def moved(policy: Policy, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(p, before[n]) for n, p in policy.trainable().items())


def on_policy(learner: Learner, batch: Batch) -> Batch:
    """Return the batch as an engine with the learner's weights would have recorded it."""
    logprobs = learner.signals(batch, ["old_logprob"])["old_logprob"]
    return dataclasses.replace(batch, logprobs=logprobs.astype(np.float32))


def test_update_raises_what_was_good_and_lowers_what_was_bad(
    policy: Policy, make_batch: MakeBatch
) -> None:
    batch = make_batch(6, restricted=True)
    learner = learner_for(policy, learning_rate=3e-3)
    batch = on_policy(learner, batch)
    advantages = np.where(np.arange(batch.num_turns) % 2 == 0, 1.0, -1.0)
    before = learner.signals(batch, ["old_logprob"])["old_logprob"]
    for _ in range(5):
        learner.update(batch, advantages)
    after = learner.signals(batch, ["old_logprob"])["old_logprob"]
    change = (after - before)[decision_tokens(batch)]
    sign = advantages[batch.turn_of_token()][decision_tokens(batch)]
    assert change[sign > 0].mean() > 0.05
    assert change[sign < 0].mean() < -0.05


def test_first_step_is_the_plain_policy_gradient(policy: Policy, make_batch: MakeBatch) -> None:
    """On-policy: the gradient of -mean(A logp), by autograd over the model's own logits."""
    learner = learner_for(policy, max_grad_norm=1e9)
    batch = on_policy(learner, make_batch(4))
    advantages = advantages_for(batch)
    expected = torch.zeros(())
    chosen = decision_tokens(batch)
    bounds = batch.token_offsets[batch.segment_offsets()]
    for start, end in itertools.pairwise(bounds):
        ids = torch.from_numpy(batch.token_ids[start:end].astype(np.int64))
        logprobs = policy.model(ids[None]).logits[0].log_softmax(-1)
        for k in np.flatnonzero(chosen[start:end]):
            advantage = advantages[batch.turn_of_token()[start + k]]
            expected = expected - advantage * logprobs[k - 1, ids[k]] / chosen.sum()
    gradients = torch.autograd.grad(expected, list(policy.trainable().values()))
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    report = learner.update(batch, advantages)
    assert report["grad_norm"] == pytest.approx(norm, rel=1e-4)
    turns = advantages[batch.turn_of_token()][chosen]
    assert report["loss"] == pytest.approx(-turns.mean(), abs=1e-5)
    assert report["kl_old"] == pytest.approx(0.0, abs=1e-6)
    assert report["clip_fraction"] == 0.0
    assert report["drift/gap_p99"] < 1e-5
    assert report["drift/ess"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "mode",
    ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"],
)
def test_accumulation_over_packs_is_exact(
    model_dir: Path, make_batch: MakeBatch, mode: str
) -> None:
    batch = make_batch(8)
    reports = []
    for pack_tokens in (1, 4096):
        policy = load_policy(PolicyConfig(model=str(model_dir)))
        learner = learner_for(
            policy, aggregation=mode, pack_tokens=pack_tokens, entropy_coefficient=0.01, kl="loss"
        )
        reports.append(learner.update(batch, advantages_for(batch)))
    assert reports[0]["loss"] == pytest.approx(reports[1]["loss"], rel=1e-5)
    assert reports[0]["grad_norm"] == pytest.approx(reports[1]["grad_norm"], rel=1e-4)


def test_no_variance_moves_nothing(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(4)
    learner = learner_for(policy, weight_decay=0.5, epochs=2, minibatches=2)
    learner.update(batch, advantages_for(batch))
    before = weights_of(policy)
    report = learner.update(batch, np.zeros(batch.num_turns))
    assert not moved(policy, before)
    assert report["optimiser_steps"] == 0
    assert report["forward_tokens"] == 0
    assert report["loss"] == 0.0


def test_an_empty_batch_moves_nothing(policy: Policy) -> None:
    batch = Batch.from_trajectories([])
    before = weights_of(policy)
    report = learner_for(policy, minibatches=3).update(batch, np.zeros(0))
    assert all(math.isfinite(value) for value in report.values())
    assert not moved(policy, before)
    assert math.isfinite(learner_for(policy).clone(batch)["loss"])


def test_dropping_zero_advantages_changes_no_gradient(
    model_dir: Path, make_batch: MakeBatch
) -> None:
    """Denominators still count what is left out."""
    batch = make_batch(8, turns=(3, 6))
    advantages = advantages_for(batch)
    advantages[:6] = 0.0
    advantages[batch.turn_offsets[1:] - 1] = 0.0
    found = []
    # A tiny entropy bonus forces the full forward pass and hardly changes the gradient.
    for bonus in (0.0, 1e-12):
        policy = load_policy(PolicyConfig(model=str(model_dir)))
        learner = learner_for(policy, entropy_coefficient=bonus)
        found.append(learner.update(batch, advantages))
    assert found[0]["grad_norm"] == pytest.approx(found[1]["grad_norm"], rel=1e-5)
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-5)
    assert found[0]["forward_tokens"] < 0.8 * found[1]["forward_tokens"]


def test_token_advantages_are_taken_as_they_are(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(4)
    per_turn = advantages_for(batch)
    state = copy.deepcopy(policy.model.state_dict())
    first = learner_for(policy).update(batch, per_turn)
    policy.model.load_state_dict(state)
    second = learner_for(policy).update(batch, per_turn[batch.turn_of_token()])
    assert first == second


def test_minibatches_split_trajectories_and_take_a_step_each(
    policy: Policy, make_batch: MakeBatch
) -> None:
    batch = make_batch(7)
    learner = learner_for(policy, minibatches=3, epochs=2)
    masks = list(learner._minibatches(batch))
    assert len(masks) == 6
    for epoch in (masks[:3], masks[3:]):
        np.testing.assert_array_equal(np.sum(epoch, axis=0), np.ones(batch.num_tokens))
    trajectories = batch.trajectory_of_turn()[batch.turn_of_token()]
    for mask in masks:
        inside = set(trajectories[mask])
        assert not inside & set(trajectories[~mask])
        assert len(inside) in (2, 3)
    report = learner.update(batch, advantages_for(batch))
    assert report["optimiser_steps"] == 6
    assert learner.step == 6
    assert report["kl_old"] > 0


def test_more_minibatches_than_trajectories(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(2)
    report = learner_for(policy, minibatches=5).update(batch, advantages_for(batch))
    assert report["optimiser_steps"] == 2


def test_kl_loss_pulls_back_to_the_reference(model_dir: Path, make_batch: MakeBatch) -> None:
    batch = make_batch(4)
    distances = {}
    for coefficient in (0.0, 5.0):
        policy = load_policy(PolicyConfig(model=str(model_dir)))
        learner = learner_for(policy, kl="loss", kl_coefficient=coefficient, kl_estimator="k3")
        for _ in range(6):
            report = learner.update(batch, np.ones(batch.num_turns))
        distances[coefficient] = report["kl_reference"]
    assert 0 < distances[5.0] < 0.5 * distances[0.0]


def test_truncated_importance_sampling_scales_the_gradient(
    model_dir: Path, make_batch: MakeBatch
) -> None:
    batch = make_batch(4)
    norms = {}
    for kind, shift in (("none", 0.0), ("tis", -5.0), ("tis", math.log(2))):
        policy = load_policy(PolicyConfig(model=str(model_dir)))
        learner = learner_for(policy, importance=kind)
        exact = on_policy(learner, batch)
        shifted = dataclasses.replace(exact, logprobs=exact.logprobs + np.float32(shift))
        norms[kind, shift] = learner.update(shifted, advantages_for(batch))["grad_norm"]
    plain = norms["none", 0.0]
    assert norms["tis", -5.0] == pytest.approx(2 * plain, rel=1e-3)
    assert norms["tis", math.log(2)] == pytest.approx(plain / 2, rel=1e-3)


def test_known_signals_are_not_measured_again(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(4)
    learner = learner_for(policy, kl="loss", minibatches=2)
    signals = learner.signals(batch, ["old_logprob", "ref_logprob"])
    signals["ref_logprob"] = signals["ref_logprob"] - 1.0
    report = learner.update(batch, advantages_for(batch), signals=signals)
    # k3 of a gap of 1 at the first minibatch
    assert report["kl_reference"] > math.exp(-1) * 0.8


def test_signals(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(4, restricted=True)
    learner = learner_for(policy, reference=True)
    first = learner.signals(batch, ["old_logprob", "entropy", "ref_logprob"])
    np.testing.assert_array_equal(first["old_logprob"], first["ref_logprob"])
    chosen = decision_tokens(batch)
    assert (first["entropy"][chosen] > 0).all()
    assert all(not values[~chosen].any() for values in first.values())
    learner.update(batch, advantages_for(batch))
    second = learner.signals(batch, ["old_logprob", "ref_logprob"])
    np.testing.assert_array_equal(second["ref_logprob"], first["ref_logprob"])
    assert (second["old_logprob"] != first["old_logprob"]).any()


def test_clone_learns_to_imitate(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(6)
    learner = learner_for(policy)
    losses = [learner.clone(batch)["loss"] for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    logprobs = learner.signals(batch, ["old_logprob"])["old_logprob"][decision_tokens(batch)]
    assert -logprobs.mean() < losses[0]


def test_clone_loss_is_the_mean_cross_entropy(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(4, restricted=True)
    learner = learner_for(policy)
    logprobs = learner.signals(batch, ["old_logprob"])["old_logprob"][decision_tokens(batch)]
    report = learner.clone(batch)
    assert report["loss"] == pytest.approx(-logprobs.mean(), rel=1e-5)
    assert learner.clone(batch, restricted=False)["trained_tokens"] > report["trained_tokens"]


def test_gradients_that_are_not_finite_are_dropped(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(2)
    learner = learner_for(policy)
    before = weights_of(policy)
    poison = policy.model.model.norm.register_forward_hook(lambda m, i, o: o * float("nan"))
    report = learner.update(batch, advantages_for(batch))
    poison.remove()
    assert report["optimiser_steps"] == 0
    assert not moved(policy, before)
    assert learner.update(batch, advantages_for(batch))["optimiser_steps"] == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"autocast": True},
        {"checkpoint_activations": True},
        {"autocast": True, "checkpoint_activations": True},
    ],
)
def test_options_agree_with_the_plain_update(
    model_dir: Path, make_batch: MakeBatch, settings: dict[str, bool]
) -> None:
    batch = make_batch(4)
    norms = []
    for extra in ({}, settings):
        policy = load_policy(PolicyConfig(model=str(model_dir)))
        report = learner_for(policy, **extra).update(batch, advantages_for(batch))
        norms.append(report["grad_norm"])
        if "checkpoint_activations" in extra:
            assert policy.model.model.gradient_checkpointing
    tolerance = 0.1 if "autocast" in settings else 1e-5
    assert norms[1] == pytest.approx(norms[0], rel=tolerance)


def test_norms_do_not_decay(policy: Policy, make_batch: MakeBatch) -> None:
    learner = learner_for(policy, weight_decay=0.9)
    decayed, kept = learner._optimiser.param_groups
    assert decayed["weight_decay"] == 0.9
    assert kept["weight_decay"] == 0.0
    assert all(p.ndim == 1 for p in kept["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(policy.trainable())


def test_wrong_advantages_are_refused(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(2)
    learner = learner_for(policy)
    with pytest.raises(DataError, match="one value per turn"):
        learner.update(batch, np.zeros(batch.num_turns + batch.num_tokens))
    wrong = np.zeros(batch.num_turns)
    wrong[1] = np.nan
    with pytest.raises(DataError, match="advantage 1 is nan"):
        learner.update(batch, wrong)


def test_greedy_batches_are_refused(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(2)
    with pytest.raises(ConfigError, match="temperature"):
        learner_for(policy).update(batch, np.zeros(batch.num_turns), temperature=0.0)


def test_unknown_signals_and_a_missing_reference_are_refused(
    policy: Policy, make_batch: MakeBatch
) -> None:
    batch = make_batch(2)
    learner = learner_for(policy)
    with pytest.raises(ConfigError, match="did you mean 'entropy'"):
        learner.signals(batch, ["entropi"])
    with pytest.raises(ConfigError, match="reference"):
        learner.signals(batch, ["ref_logprob"])


def test_a_foreign_state_is_refused(policy: Policy) -> None:
    learner = learner_for(policy)
    state = learner.state_dict()
    state["weights"] = {n: w[:1] for n, w in state["weights"].items()}
    with pytest.raises(CheckpointError, match="does not fit"):
        learner.load_state_dict(state)
