"""What an evaluation's figures depend on, besides its tasks: written at the top of its results."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

if TYPE_CHECKING:
    from agentrl.config import Config


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """Who played what, and how; results under different conditions never share a file."""

    environment: str
    """The environment's registered name, or `file.py:Class`."""
    split: str
    policy: str
    """Names the weights: `step-000100` of a run, `base`, or a model."""
    options: dict[str, Any] = {}
    """The environment's options, without the split."""
    sampling: dict[str, float] = {}
    """Temperature, top_p and top_k."""
    dialogue: dict[str, Any] = {}
    """The configuration's `dialogue` section."""
    max_invalid_actions: int | None = None
    """Invalid actions after which an episode is lost; None: any number."""
    endpoint: dict[str, Any] = {}
    """What is asked of a model behind an endpoint in another way than by default: its
    `context_length`, and what requests `omit`."""
    seed: int = 0
    """Seeds environments and sampling, together with task and attempt."""

    def __post_init__(self) -> None:
        """Keep every value as it will be read back: tuples become lists, paths text."""
        for name in ("options", "dialogue", "endpoint"):
            plain = msgspec.json.decode(msgspec.json.encode(getattr(self, name), enc_hook=str))
            msgspec.structs.force_setattr(self, name, plain)
        sampling = {key: float(value) for key, value in self.sampling.items()}
        msgspec.structs.force_setattr(self, "sampling", sampling)

    @classmethod
    def of(
        cls,
        config: Config,
        policy: str,
        *,
        split: str | None = None,
        options: dict[str, Any] | None = None,
        endpoint: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Self:
        """Return the conditions that a configuration asks for.

        Args:
            config: Its sections env, evaluation, sampling, dialogue and rollout are read.
            policy: Names the weights.
            split: Instead of `evaluation.split`.
            options: Environment options on top of those of `env` and `evaluation`.
            endpoint: See the field.
            seed: The same for all runs unless asked otherwise, so that all meet the same starts.
        """
        sampling = config.evaluation.sampling or config.sampling
        merged = {**config.env.options, **config.evaluation.options, **(options or {})}
        merged.pop("split", None)
        return cls(
            environment=config.env.name,
            split=split or config.evaluation.split,
            policy=policy,
            options=merged,
            sampling=sampling.model_dump(mode="json"),
            dialogue=config.dialogue.model_dump(mode="json"),
            max_invalid_actions=config.rollout.max_invalid_actions,
            endpoint=endpoint or {},
            seed=seed,
        )

    @property
    def digest(self) -> str:
        """Eight hex digits that differ where any condition differs."""
        return _digest(msgspec.to_builtins(self))

    def results_file(self, folder: Path) -> Path:
        """Return the results file of these conditions in a folder of evaluations."""
        policy = re.sub(r"[^\w.-]+", "-", self.policy).strip("-")
        return folder / f"{_plain(self.split)}-{policy}-{self.digest}.jsonl"

    def panel_file(self, folder: Path) -> Path:
        """Return the panel file that all policies of these tasks share."""
        tasks = _digest([self.environment, self.options])
        return folder / f"panel-{_plain(self.split)}-{tasks}.json"


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)


def _digest(value: Any) -> str:
    canonical = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:8]
