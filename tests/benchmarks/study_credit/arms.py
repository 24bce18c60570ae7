"""The arms of the study: which methods on which worlds, with which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentrl.config import Config, load_config

HOST = "grpo"
CREDIT = {
    "grpo": "[grpo]",
    "salt": "[grpo, salt]",
    "gigpo": "[grpo, gigpo]",
    "graph_value": "[grpo, graph_value]",
    "empg": "[grpo, empg]",
    "oprl": "[grpo, oprl]",
    "igpo": "[grpo, igpo]",
}
# The published rate, 1e-6, is one for billions of weights. On stored batches 1e-4 ranked unseen
# pairs as well as 5e-5 and better than the policy's own 2e-4, 5e-4 and 2e-3.
SETTINGS = {"oprl": ("prm.learning_rate=1e-4",)}


@dataclass(frozen=True, slots=True)
class World:
    """Where the methods are compared: a shipped configuration, changed."""

    config: str
    settings: tuple[str, ...]
    credit: Mapping[str, str]
    """Parameters that were published for this kind of world."""
    without: tuple[str, ...] = ()
    """Methods that have no signal here."""

    def arms(self, methods: Sequence[str]) -> list[str]:
        """Return those of the methods that can be used here."""
        return [method for method in methods if method not in self.without]


WORLDS = {
    "alfworld": World(
        "quickstart",
        (
            "updates=12",
            "rollout.tasks=8",
            "rollout.concurrency=64",
            "evaluation.tasks=200",
            "evaluation.every=3",
        ),
        credit={},
        without=("igpo",),
    ),
    "searchqa": World(
        "searchqa",
        ("updates=24",),
        # With the default history of 3 turns, edges here are whole prefixes: such turns have one
        # gradient, so that averaging their values over them moves the policy as `grpo` does.
        credit={
            "salt": "[grpo, {salt: {history: 1}}]",
            "graph_value": "[grpo, {graph_value: {gae_lambda: 0.6}}]",
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Arm:
    """One run of the study."""

    world: str
    method: str
    seed: int

    @property
    def folder(self) -> str:
        """Its place below RUNS."""
        return f"{self.world}/{self.method}-{self.seed}"

    def settings(self) -> list[str]:
        """Return the configuration and what is changed in it."""
        world = WORLDS[self.world]
        credit = world.credit.get(self.method, CREDIT[self.method])
        changed = ["checkpoint_every=100", *world.settings, *SETTINGS.get(self.method, ())]
        return [world.config, *changed, f"credit={credit}", f"seed={self.seed}"]

    def config(self) -> Config:
        """Return the run's configuration."""
        config, *changed = self.settings()
        return load_config(Path(config), changed)
