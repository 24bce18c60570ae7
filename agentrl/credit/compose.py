"""Lists of credit methods: read, checked, and run one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import msgspec
import numpy as np

from agentrl.batch import Batch
from agentrl.credit.base import STAGES, Advantages, CreditMethod, FollowsHost
from agentrl.credit.checks import check_rewards
from agentrl.errors import ConfigError, did_you_mean
from agentrl.trajectory import Signals

Entry = str | Mapping[str, Mapping[str, Any] | None] | CreditMethod
"""A method's name, `{name: {parameter: value}}`, or a method."""


def parse(entries: Entry | Sequence[Entry]) -> list[CreditMethod]:
    """Return the methods that a list from a configuration names, ready to call.

    Args:
        entries: One entry or a list of them; see `Entry`. `file.py:Class` names a method of
            one's own.

    Raises:
        RegistryError: No method of that name.
        ConfigError: A wrong parameter, or an order that makes no sense.
    """
    one = isinstance(entries, str | Mapping) or not isinstance(entries, Sequence)
    listed: Sequence[Any] = [entries] if one else entries  # type: ignore[assignment]
    methods = [method for entry in listed for method in _read(entry)]
    _check_order(methods)
    host = methods[0]
    return [m.for_host(host) if isinstance(m, FollowsHost) else m for m in methods]


def needs(entries: Entry | Sequence[Entry]) -> frozenset[str]:
    """Return the names of all signals that the methods read."""
    return frozenset().union(*(method.needs for method in parse(entries)))


def assign(
    batch: Batch, methods: Entry | Sequence[Entry], signals: Signals | None = None
) -> Advantages:
    """Return advantages: which turn (or token) earned the reward.

    Args:
        batch: Whole groups of trajectories.
        methods: One method or a list, such as `["grpo", {"whiten": {"eps": 1e-6}}]`.
        signals: What the methods need beyond the batch; see `needs`.

    Returns:
        One value per turn, shape [turns]; per token, shape [tokens], if a method of the list is
        token-level.

    Raises:
        RegistryError: No method of that name.
        ConfigError: A wrong parameter or order, or a missing signal.
        DataError: A reward that is not a finite number.
    """
    chain = parse(methods)
    given = signals if signals is not None else {}
    for method in chain:
        _check_signals(method, given)
    check_rewards(batch)
    values: Advantages | None = None
    at_tokens = False
    for method in chain:
        if values is not None and method.level == "token" and not at_tokens:
            values = to_tokens(batch, values)
        at_tokens = at_tokens or method.level == "token"
        values = method(batch, values, given)
        _check_shape(method, values, batch.num_tokens if at_tokens else batch.num_turns)
    assert values is not None
    return values


def to_tokens(batch: Batch, advantages: Advantages) -> Advantages:
    """Return one value per token: the turn's value at sampled tokens, 0 at all others.

    Args:
        batch: The batch that the advantages are of.
        advantages: Shape [turns], or [tokens] already.

    Returns:
        Shape [tokens].

    Raises:
        ConfigError: The advantages are of another batch.
    """
    if advantages.shape == (batch.num_turns,):
        advantages = advantages[batch.turn_of_token()]
    if advantages.shape != (batch.num_tokens,):
        raise ConfigError(
            f"advantages of shape {advantages.shape} fit neither the {batch.num_turns} turns nor "
            f"the {batch.num_tokens} tokens of the batch"
        )
    return np.where(batch.sampled, advantages, 0.0)


def _read(entry: Any) -> list[CreditMethod]:
    if isinstance(entry, str):
        return [_build(entry, {})]
    if isinstance(entry, Mapping):
        return [_build(name, parameters or {}) for name, parameters in entry.items()]
    if isinstance(entry, CreditMethod) and not isinstance(entry, type):
        return [entry]
    raise ConfigError(
        f"a credit entry is a name, {{name: {{parameter: value}}}} or a method, not {entry!r}"
    )


def _build(name: str, parameters: Mapping[str, Any]) -> CreditMethod:
    from agentrl import registry  # brings Gymnasium in, which credit alone does not need

    build: Any = registry.load("credit", name)
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"credit method {name!r} takes {{parameter: value}}, not {parameters!r}")
    if not (isinstance(build, type) and dataclasses.is_dataclass(build)):
        return cast(CreditMethod, build(**parameters))
    known = [field.name for field in dataclasses.fields(build) if field.init]
    for parameter in parameters:
        if parameter not in known:
            hint = did_you_mean(str(parameter), known)
            raise ConfigError(f"credit method {name!r} has no parameter {parameter!r}; {hint}")
    try:
        return cast(CreditMethod, msgspec.convert(dict(parameters), build))
    except msgspec.ValidationError as error:
        raise ConfigError(f"credit method {name!r}: {error}") from None


def _check_order(methods: Sequence[CreditMethod]) -> None:
    names = "[" + ", ".join(method.name for method in methods) + "]"
    if not methods or methods[0].stage != "outcome":
        raise ConfigError(
            f"credit list {names} must begin with an outcome estimator such as 'grpo' or 'rloo'"
        )
    for before, after in pairwise(methods):
        if after.stage == "outcome":
            raise ConfigError(
                f"credit list {names} has two outcome estimators, {methods[0].name!r} and "
                f"{after.name!r}; keep one"
            )
        if STAGES.index(after.stage) < STAGES.index(before.stage):
            raise ConfigError(
                f"credit list {names}: {after.name!r} ({after.stage}) must stand before "
                f"{before.name!r} ({before.stage}); the order is {', '.join(STAGES)}"
            )
    _check_levels(methods, names)


def _check_levels(methods: Sequence[CreditMethod], names: str) -> None:
    token_level: CreditMethod | None = None
    for method in methods:
        if token_level is not None and method.level == "turn":
            raise ConfigError(
                f"credit list {names}: {method.name!r} works per turn and cannot follow "
                f"{token_level.name!r}, which works per token"
            )
        token_level = method if method.level == "token" else token_level


def _check_signals(method: CreditMethod, signals: Signals) -> None:
    for name in sorted(method.needs - signals.keys()):
        given = ", ".join(sorted(signals)) or "none"
        raise ConfigError(
            f"credit method {method.name!r} needs the signal {name!r}, which was not given "
            f"(given: {given})"
        )


def _check_shape(method: CreditMethod, values: Advantages, length: int) -> None:
    if values.shape != (length,):
        raise ConfigError(
            f"credit method {method.name!r} gave values of shape {values.shape}, not ({length},)"
        )
