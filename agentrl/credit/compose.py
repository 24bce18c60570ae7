"""Lists of credit methods: read, checked, and run one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agentrl.batch import Batch
from agentrl.credit.base import Advantages, CreditMethod, FollowsHost, FollowsLevel, Measures
from agentrl.credit.checks import check_rewards
from agentrl.credit.levels import ValueLevel, to_tokens
from agentrl.credit.list_rules import check_list
from agentrl.entries import read_entries
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals

__all__ = ["Entry", "assign", "metrics", "needs", "parse", "to_tokens"]

Entry = str | Mapping[str, Mapping[str, Any] | None] | CreditMethod
"""A method's name, `{name: {parameter: value}}`, or a method."""


def parse(entries: Entry | Sequence[Entry]) -> list[CreditMethod]:
    """Return the methods that a list from a configuration names, ready to call.

    Args:
        entries: One entry or a list of them; see `Entry`. `file.py:Class` names a method of
            one's own.

    Raises:
        RegistryError: No method of that name.
        ConfigError: A wrong parameter, or a list that makes no sense; says which one does.
    """
    methods: list[CreditMethod] = read_entries("credit", entries, CreditMethod)
    check_list(methods)
    return _resolved(methods)


def needs(entries: Entry | Sequence[Entry]) -> frozenset[str]:
    """Return the names of all signals that the methods read."""
    return frozenset().union(*(method.needs for method in parse(entries)))


def assign(
    batch: Batch,
    methods: Entry | Sequence[Entry],
    signals: Signals | None = None,
    *,
    level: Literal["token"] | None = None,
) -> Advantages:
    """Return advantages: which turn (or token) earned the reward.

    Args:
        batch: Whole groups of trajectories.
        methods: One method or a list, such as `["grpo", {"whiten": {"eps": 1e-6}}]`.
        signals: What the methods need beyond the batch; see `needs`.
        level: `token` asks for one value per token whatever the methods; see `to_tokens`.

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
            values = to_tokens(batch, values, "turn")
        at_tokens = at_tokens or method.level == "token"
        values = method(batch, values, given)
        _check_shape(method, values, batch.num_tokens if at_tokens else batch.num_turns)
    assert values is not None
    return to_tokens(batch, values, "turn") if level and not at_tokens else values


def metrics(
    batch: Batch, methods: Entry | Sequence[Entry], signals: Signals | None = None
) -> dict[str, float]:
    """Return what the methods that measure themselves had to work with, as `METHOD/FIGURE`.

    Args:
        batch: Whole groups of trajectories.
        methods: As for `assign`.
        signals: As for `assign`.

    Raises:
        AgentRLError: As `assign` does.
    """
    given = signals if signals is not None else {}
    figures: dict[str, float] = {}
    for method in parse(methods):
        if isinstance(method, Measures):
            _check_signals(method, given)
            own = method.metrics(batch, given)
            figures |= {f"{method.name}/{name}": value for name, value in own.items()}
    return figures


def _resolved(methods: Sequence[CreditMethod]) -> list[CreditMethod]:
    """Return the methods as they are to run in this list."""
    level: ValueLevel = "turn"
    resolved = []
    for method in methods:
        suited = method.for_host(methods[0]) if isinstance(method, FollowsHost) else method
        level = "token" if suited.level == "token" else level
        resolved.append(suited.for_level(level) if isinstance(suited, FollowsLevel) else suited)
    return resolved


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
