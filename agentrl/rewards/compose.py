"""Lists of reward transforms: read, checked, and applied one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from agentrl.batch import Batch
from agentrl.credit import state as memory
from agentrl.credit.base import CreditMethod
from agentrl.entries import read_entries, written
from agentrl.errors import ConfigError
from agentrl.rewards.base import STAGES, RewardTransform
from agentrl.rewards.noisy_verifier import NoisyVerifier, refuse_cancelled
from agentrl.trajectory import Signals

Entry = str | Mapping[str, Mapping[str, Any] | None] | RewardTransform
"""A transform's name, `{name: {parameter: value}}`, or a transform."""


def parse(entries: Entry | Sequence[Entry]) -> list[RewardTransform]:
    """Return the transforms that a list from a configuration names, ready to call.

    Args:
        entries: One entry or a list of them, which may be empty; see `Entry`. `file.py:Class`
            names a transform of one's own.

    Raises:
        RegistryError: No transform of that name.
        ConfigError: A wrong parameter, or a list that makes no sense; says which one does.
    """
    transforms: list[RewardTransform] = read_entries("rewards", entries, RewardTransform)
    _check_list(transforms)
    return transforms


def needs(transforms: Iterable[RewardTransform]) -> frozenset[str]:
    """Return the names of all signals that the transforms read."""
    return frozenset().union(*(transform.needs for transform in transforms))


def apply(
    batch: Batch, transforms: Iterable[RewardTransform], signals: Signals | None = None
) -> Batch:
    """Return the batch with the rewards that credit is to see; the same batch for an empty list.

    Args:
        batch: With rewards as the environment paid them.
        transforms: As parsed.
        signals: What the transforms need beyond the batch; see `needs`.

    Raises:
        ConfigError: A missing signal.
        DataError: Rewards that a transform cannot mean anything by; names the trajectory.
    """
    given = signals if signals is not None else {}
    for transform in transforms:
        for name in sorted(transform.needs - given.keys()):
            raise ConfigError(
                f"reward transform {transform.name!r} needs the signal {name!r}, which was not "
                f"given (given: {', '.join(sorted(given)) or 'none'})"
            )
        batch = transform(batch, given)
    return batch


def learn(transforms: Iterable[RewardTransform], batch: Batch) -> None:
    """Let the transforms that remember take in a batch, once per policy step."""
    memory.learn(transforms, batch)


def state_dict(transforms: Iterable[RewardTransform]) -> dict[str, Any]:
    """Return what the transforms know, by name, in plain JSON values."""
    return memory.state_dict(transforms)


def load_state_dict(transforms: Iterable[RewardTransform], state: Mapping[str, Any]) -> None:
    """Give the transforms back what they knew.

    Raises:
        CheckpointError: A transform that remembers has nothing saved, or something else.
    """
    memory.load_state_dict(transforms, state, noun="reward transform")


def check_with_credit(
    transforms: Sequence[RewardTransform],
    methods: Sequence[CreditMethod],
    *,
    other_rewards: bool = False,
) -> None:
    """Refuse transforms that a credit list would cancel.

    Args:
        transforms: As parsed.
        methods: The credit list, parsed.
        other_rewards: Whether rewards are added later, as the KL to a reference may be. Next to
            others a rescaled outcome weighs more, which no estimator cancels.

    Raises:
        ConfigError: Says what to use instead.
    """
    other_rewards = other_rewards or any(t.stage == "price" for t in transforms)
    for transform in transforms:
        if not isinstance(transform, NoisyVerifier):
            continue
        if transform.form == "forward" or not other_rewards:
            rates = transform.false_positive, transform.false_negative
            refuse_cancelled(transform.form, methods, *rates)


def _check_list(transforms: Sequence[RewardTransform]) -> None:
    names = [transform.name for transform in transforms]
    head = f"rewards [{', '.join(names)}]"
    for name in names:
        if names.count(name) > 1:
            once = list({t.name: t for t in transforms}.values())
            raise ConfigError(f"{head} name {name!r} twice; use {written(_in_order(once))}")
    for before, after in pairwise(transforms):
        if STAGES.index(after.stage) < STAGES.index(before.stage):
            raise ConfigError(
                f"{head}: {after.name!r} ({after.stage}) must stand before {before.name!r} "
                f"({before.stage}), or it would change what that one added; "
                f"use {written(_in_order(transforms))}"
            )
    others = [t for t in transforms if t.name != "noisy_verifier" and t.stage != "price"]
    if "noisy_verifier" in names and others:
        kept = [transform for transform in transforms if transform not in others]
        raise ConfigError(
            f"{head}: {others[0].name!r} needs outcomes that are not negative, which those "
            f"corrected by 'noisy_verifier' may be; use {written(kept)}"
        )


def _in_order(transforms: Iterable[RewardTransform]) -> list[RewardTransform]:
    return sorted(transforms, key=lambda transform: STAGES.index(transform.stage))
