"""The critic: values before tokens, a loss that fits returns, nothing of it in the policy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.config import CriticConfig, LearnerConfig, PolicyConfig
from agentrl.credit.gae import Gae, Mode
from agentrl.errors import CheckpointError
from agentrl.learner.critic import Critic, value_loss
from agentrl.learner.policy import Policy, load_policy


@pytest.fixture
def batch(make_batch: Callable[..., Batch]) -> Batch:
    return make_batch(6, seed=3)


def made(policy: Policy, mode: Mode = "token", **settings: object) -> Critic:
    config = CriticConfig.model_validate({"learning_rate": 1e-2, "clip": None, **settings})
    learner = LearnerConfig(pack_tokens=64)
    return Critic(policy, config, learner, gae=Gae(mode=mode), seed=0)


def test_values_begin_at_zero_so_advantages_are_plain_returns(policy: Policy, batch: Batch) -> None:
    known = made(policy).measure(batch, {}, temperature=1.0)
    np.testing.assert_array_equal(known["value"], 0.0)
    advantages = Gae()(batch, None, known)
    to_go = batch.rewards.copy()
    for first, last in zip(batch.turn_offsets[:-1], batch.turn_offsets[1:], strict=True):
        to_go[first:last] = batch.rewards[first:last][::-1].cumsum()[::-1]
    expected = np.where(batch.sampled, to_go[batch.turn_of_token()], 0.0)
    np.testing.assert_allclose(advantages, expected)


@pytest.mark.parametrize("mode", ["token", "turn", "dual_discount", "bi_level"])
@pytest.mark.parametrize("weights", ["copy", "lora"])
def test_it_learns_what_follows_and_leaves_the_policy_alone(
    mode: str, weights: str, policy: Policy, batch: Batch
) -> None:
    before = {n: t.clone() for n, t in policy.weights().items()}
    critic = made(policy, mode, weights=weights)
    figures = []
    for _ in range(60):
        known = critic.measure(batch, {}, temperature=1.0)
        figures.append(critic.learn(batch, known, temperature=1.0))
    assert figures[-1]["critic/loss"] < 0.2 * figures[0]["critic/loss"]
    assert figures[-1]["critic/explained_variance"] > 0.7
    assert all(torch.equal(before[n], t) for n, t in policy.weights().items())


def test_it_shares_the_base_of_a_policy_with_adapters(model_dir: Path, batch: Batch) -> None:
    policy = load_policy(PolicyConfig(model=str(model_dir), lora_rank=4))
    before = {n: t.clone() for n, t in policy.weights().items()}
    critic = made(policy, weights="lora", lora_rank=2)
    assert critic._sibling._model is policy.model
    for _ in range(5):
        critic.learn(batch, critic.measure(batch, {}, temperature=1.0), temperature=1.0)
    assert np.abs(critic.measure(batch, {}, temperature=1.0)["value"]).max() > 0
    assert all(torch.equal(before[n], t) for n, t in policy.weights().items())


def test_a_value_is_read_before_its_token(policy: Policy, batch: Batch) -> None:
    critic = made(policy)
    for _ in range(3):
        critic.learn(batch, critic.measure(batch, {}, temperature=1.0), temperature=1.0)
    values = critic.measure(batch, {}, temperature=1.0)["value"]
    span = slice(0, batch.token_offsets[batch.turn_offsets[1]])
    ids = torch.from_numpy(batch.token_ids[span].astype(np.int64))[None]
    with torch.no_grad():
        hidden = critic._sibling._model.get_decoder()(input_ids=ids).last_hidden_state[0]
        every = critic._head(hidden)[:, 0].numpy()
    places = np.flatnonzero(batch.sampled[span])
    np.testing.assert_allclose(values[places], every[places - 1], atol=1e-5)
    assert (values[~batch.sampled] == 0).all()


def test_the_clip_stops_a_value_that_has_moved_far() -> None:
    old = torch.tensor([0.0, 0.0, 0.0])
    goal = torch.tensor([1.0, 1.0, -1.0])
    values = torch.tensor([0.2, 0.8, 0.8], requires_grad=True)
    losses = value_loss(values, old, goal, clip=0.5)
    torch.testing.assert_close(losses.detach(), 0.5 * torch.tensor([0.64, 0.25, 3.24]))
    losses.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, torch.tensor([-0.8, 0.0, 1.8]))
    plain = value_loss(values.detach(), old, goal, clip=None)
    torch.testing.assert_close(plain, 0.5 * torch.tensor([0.64, 0.04, 3.24]))


def test_it_goes_on_where_it_was(policy: Policy, batch: Batch) -> None:
    first = made(policy, minibatches=3, epochs=2)
    first.learn(batch, first.measure(batch, {}, temperature=1.0), temperature=1.0)
    state = copy.deepcopy(first.state_dict())
    second = made(policy, minibatches=3, epochs=2)
    second.load_state_dict(state)
    for critic in (first, second):
        critic.learn(batch, critic.measure(batch, {}, temperature=1.0), temperature=1.0)
    values = [c.measure(batch, {}, temperature=1.0)["value"] for c in (first, second)]
    np.testing.assert_array_equal(*values)


def test_a_head_of_another_model_is_refused(policy: Policy) -> None:
    critic = made(policy)
    state = copy.deepcopy(critic.state_dict())
    state["head"]["weight"] = torch.zeros(1, 7)
    with pytest.raises(CheckpointError, match="value head"):
        critic.load_state_dict(state)
