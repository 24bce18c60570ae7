"""Run or resume a short training; `test_resume.py` uses it in its own process and in new ones."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import random_batch

from agentrl.config import LearnerConfig, PolicyConfig
from agentrl.learner.checkpoint import load_latest, save_checkpoint
from agentrl.learner.learner import Learner
from agentrl.learner.policy import load_policy

SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "warmup_steps": 3,
    "minibatches": 2,
    "epochs": 2,
    "pack_tokens": 64,
    "kl": "loss",
}
OPTIONS: dict[int, dict[str, Any]] = {
    # What an update leaves for the next one: a history of entropies; draws among tokens.
    0: {"entropy_smoothing": {"weight": 0.01, "low": 0.99, "high": 1.0}},
    4: {
        "entropy_coefficient": 0.01,
        "covariance": "clip",
        "covariance_share": 0.2,
        "covariance_low": -10.0,
        "covariance_high": 10.0,
    },
}
"""By LoRA rank."""


def new_learner(model: str, rank: int) -> Learner:
    policy = load_policy(PolicyConfig(model=model, lora_rank=rank))
    return Learner(policy, LearnerConfig(**SETTINGS, **OPTIONS[rank]), seed=4, total_steps=16)


def play(
    learner: Learner, rng: np.random.Generator, updates: range, root: Path | None = None
) -> list[dict[str, float]]:
    reports = []
    for update in updates:
        batch = random_batch(5, seed=int(rng.integers(1 << 30)), restricted=True)
        reports.append(learner.update(batch, rng.normal(size=batch.num_turns)))
        if root is not None:
            save_checkpoint(
                root, update + 1, learner, state={"done": update + 1}, generators={"rng": rng}
            )
    return reports


def digest(learner: Learner) -> str:
    hashed = hashlib.sha256()
    for name, weight in sorted(learner.policy.weights().items()):
        hashed.update(name.encode() + weight.contiguous().numpy().tobytes())
    return hashed.hexdigest()


def resume(model: str, rank: int, root: Path, total: int) -> dict[str, Any]:
    learner = new_learner(model, rank)
    found = load_latest(root)
    assert found is not None
    rng = np.random.default_rng(123)
    found.restore(learner, {"rng": rng})
    reports = play(learner, rng, range(found.state["done"], total))
    return {"reports": reports, "weights": digest(learner)}


if __name__ == "__main__":
    model, root, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    print(json.dumps([resume(model, rank, Path(root) / str(rank), 4) for rank in OPTIONS]))
