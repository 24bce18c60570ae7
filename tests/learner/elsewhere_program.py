"""Learn on the CPU and elsewhere; `test_elsewhere.py` runs it in a process of its own.

    python elsewhere_program.py MODEL

Prints the figures of each case on both devices, a line of JSON each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from conftest import random_batch
from elsewhere import Elsewhere

from agentrl.config import CriticConfig, LearnerConfig, PolicyConfig, PrmConfig
from agentrl.credit.gae import Gae
from agentrl.learner.critic import Critic
from agentrl.learner.learner import SIGNALS, Learner
from agentrl.learner.policy import Policy, load_policy
from agentrl.learner.prm import ProcessRewardModel

Figures = dict[str, float]
BATCH = random_batch(4, restricted=True)
FREE = random_batch(4)
UPDATES: dict[str, dict[str, Any]] = {
    "plain": {},
    "recomputed": {"checkpoint_activations": True},
    "reference": {"kl": "loss", "minibatches": 2},
    "gspo": {"loss": "gspo", "minibatches": 2, "importance_mask": "geometric"},
    "cispo": {"loss": "cispo", "importance": "icepop", "importance_level": "sequence"},
    "bapo": {"adaptive_clip": {}, "minibatches": 2},
    "clip_cov": {"covariance": "clip", "covariance_low": -10.0, "covariance_high": 10.0},
    "kl_cov": {"covariance": "kl", "minibatches": 2},
    "entropy": {"entropy_smoothing": {"weight": 0.01}},
}


def load(model: str, device: str, **settings: Any) -> Policy:
    policy = load_policy(PolicyConfig(model=model, device=device, **settings))
    # Moving tensors of another class unties them; on a real device they stay tied.
    policy.base.tie_weights()
    return policy


def learner_of(policy: Policy, **settings: Any) -> Learner:
    config = LearnerConfig(learning_rate=1e-3, pack_tokens=64, **settings)
    return Learner(policy, config, seed=0, total_steps=8, reference=True)


def update(model: str, device: str, rank: int, settings: dict[str, Any]) -> Figures:
    learner = learner_of(load(model, device, lora_rank=rank), **settings)
    learner.update(BATCH, np.linspace(-1, 1, BATCH.num_turns))
    report = learner.update(BATCH, np.linspace(1, -1, BATCH.num_turns))
    signals = learner.signals(BATCH, SIGNALS)
    learner.clone(BATCH)
    return report | {name: float(values.sum()) for name, values in signals.items()}


def critic(model: str, device: str) -> Figures:
    policy = load(model, device, lora_rank=2)
    made = Critic(
        policy,
        CriticConfig(weights="lora"),
        LearnerConfig(),
        gae=Gae(mode="token"),
        seed=0,
    )
    known = made.measure(FREE, {}, temperature=1.0)
    return made.learn(FREE, known, temperature=1.0) | made.learn(FREE, known, temperature=1.0)


def reward_model(model: str, device: str) -> Figures:
    policy = load(model, device, lora_rank=2)
    known = learner_of(policy).signals(FREE, ["old_logprob"])
    config = PrmConfig(weights="lora", margin=0.1)
    made = ProcessRewardModel(policy, config, LearnerConfig(), beta=0.1, seed=0)
    known |= made.measure(FREE, known, temperature=1.0)
    return made.learn(FREE, known, temperature=1.0)


def main(model: str) -> None:
    cases: dict[str, Callable[[str], Figures]] = {
        "critic": lambda device: critic(model, device),
        "reward model": lambda device: reward_model(model, device),
        "LoRA": lambda device: update(model, device, 2, {"kl": "loss", "minibatches": 2}),
    }
    for name, settings in UPDATES.items():
        cases[name] = lambda device, settings=settings: update(model, device, 0, settings)  # type: ignore[misc]
    for name, case in cases.items():
        here = case("cpu")
        with Elsewhere():
            print(json.dumps([name, here, case("elsewhere:0")]), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
