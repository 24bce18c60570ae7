"""The process reward model: its log-ratios, its gradient, what it shares with the policy."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.config import LearnerConfig, PolicyConfig, PrmConfig
from agentrl.credit.preferences import preference_pairs
from agentrl.errors import CheckpointError
from agentrl.learner.learner import Learner
from agentrl.learner.policy import Policy, load_policy
from agentrl.learner.prm import ProcessRewardModel

BETA = 0.5


@pytest.fixture
def batch(make_batch: Callable[..., Batch]) -> Batch:
    """Six episodes in groups of three, whose first one is the good one."""
    made = make_batch(6, seed=3)
    solved = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    return dataclasses.replace(
        made,
        returns=solved,
        success=solved > 0,
        trajectory_offsets=np.array([0, 3, 6]),
        groups=["a", "b"],
    )


def made(policy: Policy, pack_tokens: int = 8192, **settings: object) -> ProcessRewardModel:
    config = PrmConfig.model_validate({"learning_rate": 1e-2, **settings})
    learner = LearnerConfig(pack_tokens=pack_tokens)
    return ProcessRewardModel(policy, config, learner, beta=BETA, seed=0)


def old_logprobs(policy: Policy, batch: Batch) -> dict[str, np.ndarray]:
    return dict(Learner(policy, LearnerConfig(), seed=0).signals(batch, ["old_logprob"]))


def measured(model: ProcessRewardModel, policy: Policy, batch: Batch) -> dict[str, np.ndarray]:
    known = old_logprobs(policy, batch)
    return known | model.measure(batch, known, temperature=1.0)


def policies(model_dir: Path) -> dict[str, Policy]:
    return {
        "full": load_policy(PolicyConfig(model=str(model_dir))),
        "lora": load_policy(PolicyConfig(model=str(model_dir), lora_rank=4)),
    }


@pytest.mark.parametrize("kind", ["full", "lora"])
@pytest.mark.parametrize("weights", ["copy", "lora"])
def test_it_starts_as_the_policy_and_learns_apart_from_it(
    kind: str, weights: str, model_dir: Path, batch: Batch
) -> None:
    policy = policies(model_dir)[kind]
    before = {n: t.clone() for n, t in policy.weights().items()}
    trained = set(policy.trainable())
    model = made(policy, weights=weights)
    assert set(policy.trainable()) == trained
    known = measured(model, policy, batch)
    assert np.abs(known["prm_log_ratio"]).max() < 1e-5
    figures = [model.learn(batch, known, temperature=1.0)]
    for _ in range(30):
        known = measured(model, policy, batch)
        figures.append(model.learn(batch, known, temperature=1.0))
    assert figures[0]["prm/grad_norm"] > 0
    assert figures[0]["prm/loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert figures[-1]["prm/loss"] < 0.1 < figures[0]["prm/loss"]
    assert figures[-1]["prm/accuracy"] == 1.0
    # No step of it moved the policy, and no gradient of it is left there.
    assert all(torch.equal(before[n], t) for n, t in policy.weights().items())
    assert set(policy.trainable()) == trained
    assert all(p.grad is None for p in policy.model.parameters())


def test_the_gradient_is_that_of_the_whole_loss(
    policy: Policy, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made(policy, pack_tokens=16)
    known = measured(model, policy, batch)
    # Weights that differ from the policy's, so that the pairs' slopes differ, too.
    for _ in range(3):
        model.learn(batch, known, temperature=1.0)
    known = measured(model, policy, batch)
    expected = _whole_gradient(copy.deepcopy(model._sibling._model), batch, known)
    kept: list[torch.Tensor] = []

    def keep() -> None:
        parameters = model._sibling.parameters().values()
        kept.extend(p.grad.clone() for p in parameters if p.grad is not None)

    monkeypatch.setattr(model._sibling.optimiser, "step", keep)
    model.config = model.config.model_copy(update={"max_grad_norm": 1e9})
    model.learn(batch, known, temperature=1.0)
    assert len(kept) == len(expected)
    for ours, theirs in zip(kept, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def _whole_gradient(model: torch.nn.Module, batch: Batch, known: dict) -> list[torch.Tensor]:
    """The loss of the paper, written out episode by episode with one graph."""
    scores = []
    for i in range(batch.num_trajectories):
        first, last = batch.turn_offsets[i : i + 2]
        span = slice(batch.token_offsets[first], batch.token_offsets[last])
        ids = torch.from_numpy(batch.token_ids[span].astype(np.int64))[None]
        logprobs = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        chosen = torch.from_numpy(batch.sampled[span][1:])
        old = torch.from_numpy(known["old_logprob"][span][1:]).float()
        scores.append(BETA * ((logprobs - old) * chosen).sum())
    pairs = preference_pairs(batch)
    loss = torch.stack([-torch.nn.functional.logsigmoid(scores[i] - scores[j]) for i, j in pairs])
    loss.mean().backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def test_log_ratios_are_sums_over_the_turns_sampled_tokens(policy: Policy, batch: Batch) -> None:
    model = made(policy)
    with torch.no_grad():
        for parameter in model._sibling.parameters().values():
            parameter.mul_(1.1)
    known = measured(model, policy, batch)
    other = copy.deepcopy(policy)
    other.model = model._sibling._model
    gap = old_logprobs(other, batch)["old_logprob"] - known["old_logprob"]
    sums = [gap[a:b][batch.sampled[a:b]].sum() for a, b in _spans(batch)]
    np.testing.assert_allclose(known["prm_log_ratio"], sums, atol=1e-5)


def _spans(batch: Batch) -> list[tuple[int, int]]:
    return list(zip(batch.token_offsets[:-1], batch.token_offsets[1:], strict=True))


def test_groups_without_pairs_teach_nothing(policy: Policy, batch: Batch) -> None:
    model = made(policy)
    before = {n: p.detach().clone() for n, p in model._sibling.parameters().items()}
    equal = dataclasses.replace(batch, returns=np.ones(6), success=np.ones(6, np.bool_))
    known = measured(model, policy, equal)
    assert model.learn(equal, known, temperature=1.0) == {"prm/pairs": 0.0}
    assert all(torch.equal(before[n], p) for n, p in model._sibling.parameters().items())


def test_a_frozen_one_reports_and_stays(policy: Policy, batch: Batch) -> None:
    model = made(policy, learns=False)
    known = measured(model, policy, batch)
    figures = model.learn(batch, known, temperature=1.0)
    assert "prm/accuracy" in figures
    assert "prm/grad_norm" not in figures
    assert np.abs(measured(model, policy, batch)["prm_log_ratio"]).max() < 1e-5


@pytest.mark.parametrize("weights", ["copy", "lora"])
def test_it_goes_on_where_it_was(weights: str, policy: Policy, batch: Batch) -> None:
    first = made(policy, weights=weights)
    known = measured(first, policy, batch)
    first.learn(batch, known, temperature=1.0)
    state = copy.deepcopy(first.state_dict())
    second = made(policy, weights=weights)
    second.load_state_dict(state)
    for model in (first, second):
        model.learn(batch, measured(model, policy, batch), temperature=1.0)
    np.testing.assert_array_equal(
        measured(first, policy, batch)["prm_log_ratio"],
        measured(second, policy, batch)["prm_log_ratio"],
    )


def test_weights_of_another_kind_are_refused(policy: Policy) -> None:
    state = made(policy, weights="copy").state_dict()
    with pytest.raises(CheckpointError, match="prm"):
        made(policy, weights="lora").load_state_dict(state)


def test_the_mean_weighs_long_episodes_less(policy: Policy, batch: Batch) -> None:
    known = measured(made(policy), policy, batch)
    known["prm_log_ratio"] = np.where(np.arange(batch.num_turns) % 2, 1.0, -0.5)
    losses = [
        made(policy, reduce=reduce, learns=False).learn(batch, known, temperature=1.0)["prm/loss"]
        for reduce in ("sum", "mean")
    ]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_with_a_margin_returns_decide_and_without_one_success(policy: Policy, batch: Batch) -> None:
    """Prices may push the return of a solved episode below that of a failed one."""
    priced = dataclasses.replace(batch, returns=np.array([-0.5, 0.2, 0.0, 0.9, 0.3, 0.2]))
    known = measured(made(policy), policy, batch)
    pairs = [
        made(policy, learns=False, **settings).learn(priced, known, temperature=1.0)["prm/pairs"]
        for settings in ({}, {"margin": 0.5})
    ]
    assert pairs == [4.0, 4.0]
    assert len(preference_pairs(priced)) == 2


@pytest.mark.parametrize("kind", ["full", "lora"])
@pytest.mark.parametrize("weights", ["copy", "lora"])
def test_recomputed_activations_change_nothing(
    kind: str, weights: str, model_dir: Path, batch: Batch
) -> None:
    learned = []
    for recompute in (False, True):
        policy = policies(model_dir)[kind]
        config = LearnerConfig(checkpoint_activations=recompute)
        Learner(policy, config, seed=0)
        settings = PrmConfig.model_validate({"learning_rate": 1e-2, "weights": weights})
        model = ProcessRewardModel(policy, settings, config, beta=BETA, seed=0)
        with model._sibling.model() as inner:
            assert inner.training == policy.base.training == recompute
        for _ in range(3):
            model.learn(batch, measured(model, policy, batch), temperature=1.0)
        learned.append(measured(model, policy, batch)["prm_log_ratio"])
    np.testing.assert_allclose(*learned, atol=1e-5)
    assert np.abs(learned[0]).max() > 1e-3


def test_a_copy_of_a_half_precision_policy_can_still_learn(model_dir: Path, batch: Batch) -> None:
    with pytest.warns(UserWarning, match="bfloat16"):
        policy = load_policy(PolicyConfig(model=str(model_dir), dtype="bfloat16"))
    model = made(policy, learning_rate=1e-5)
    before = [p.detach().clone() for p in model._sibling.parameters().values()]
    model.learn(batch, measured(model, policy, batch), temperature=1.0)
    after = list(model._sibling.parameters().values())
    moved = [(a - b).abs().max() for a, b in zip(after, before, strict=True)]
    assert all(p.dtype is torch.float32 for p in after)
    assert min(float(m.detach()) for m in moved) > 0
