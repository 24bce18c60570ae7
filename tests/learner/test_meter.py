"""The meter in the middle of an update: it costs no pass, and stops before the first step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.config import DriftConfig, LearnerConfig, PolicyConfig
from agentrl.errors import DriftError
from agentrl.learner.learner import Learner
from agentrl.learner.policy import load_policy


def learner_of(model_dir: Path, **settings: object) -> Learner:
    config = LearnerConfig(learning_rate=0.01, **settings)
    return Learner(load_policy(PolicyConfig(model=str(model_dir))), config, seed=0)


def advantages_of(batch: Batch) -> np.ndarray:
    return np.linspace(-1.0, 1.0, batch.num_turns)


@pytest.mark.parametrize("settings", [{}, {"epochs": 2, "minibatches": 2}, {"pack_tokens": 16}])
def test_the_gap_is_what_the_engine_said_wrong(model_dir, make_batch, settings) -> None:
    """Measured anew in every layout: with old log-probabilities at hand, and without."""
    learner = learner_of(model_dir, importance="none", **settings)
    batch = make_batch(8)
    plain = learner_of(model_dir).signals(batch, ["old_logprob"])["old_logprob"]
    wrong = np.where(batch.sampled, plain - 0.05, np.nan).astype(np.float32)
    figures = learner.update(replace(batch, logprobs=wrong), advantages_of(batch))
    assert figures["drift/gap_mean"] == pytest.approx(0.05, abs=1e-4)
    assert figures["drift/gap_signed"] == pytest.approx(0.05, abs=1e-4)
    assert figures["drift/ess"] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("settings", [{}, {"epochs": 2, "minibatches": 2}, {"pack_tokens": 16}])
def test_a_refused_update_leaves_the_learner_as_it_was(model_dir, make_batch, settings) -> None:
    batch = make_batch(8)
    refused, fresh = learner_of(model_dir, **settings), learner_of(model_dir, **settings)
    before = {name: tensor.clone() for name, tensor in refused.policy.model.state_dict().items()}
    with pytest.raises(DriftError) as caught:
        refused.update(batch, advantages_of(batch), limits=DriftConfig(max_gap_mean=1e-6))
    assert caught.value.figures["drift/gap_mean"] > 1e-6
    for name, tensor in refused.policy.model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert refused.step == 0
    # And the next update is the one that a learner takes that was never refused.
    again = refused.update(batch, advantages_of(batch), limits=DriftConfig(max_gap_mean=100.0))
    assert again == fresh.update(batch, advantages_of(batch))


def test_without_limits_nothing_is_refused(model_dir, make_batch) -> None:
    batch = make_batch(8)
    figures = learner_of(model_dir).update(batch, advantages_of(batch))
    assert figures["drift/gap_mean"] > 0.2
