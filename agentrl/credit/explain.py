"""Credit with its reasons: what each method of a list made of each turn, and why.

    explained = explain(batch, ["grpo", "salt"])
    explained.advantages     # what `assign` returns
    explained.why[3][0]      # {"method": "grpo", "value": 0.71, "because": {"return": 1.0, …}}

A turn has one record per method, in the order of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import Advantages, CreditMethod, Explains, Level, Why
from agentrl.credit.compose import Entry, assign, parse
from agentrl.credit.signals import plain, token_means
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """Advantages, and for each turn the way they came about."""

    advantages: Advantages
    """What `assign` returns: shape [turns], or [tokens] where a method is token-level."""
    per_turn: Floats
    """One value per turn: a token-level one is the mean over the turn's sampled tokens, 0 for a
    turn without any. Shape [turns]."""
    why: list[Why]
    """One list per turn: a record per method, in the order of the list, in plain JSON values.
    `method` is its name, `value` the turn's value after it, and `because` the method's own record,
    absent where it has nothing to say."""


def explain(
    batch: Batch,
    methods: Entry | Sequence[Entry],
    signals: Signals | None = None,
    *,
    level: Literal["token"] | None = None,
) -> Explained:
    """Return advantages with their reasons; takes and raises what `assign` does.

    Args:
        batch: Whole groups of trajectories.
        methods: One method or a list, such as `["grpo", "salt"]`.
        signals: What the methods need beyond the batch.
        level: `token` asks for advantages per token whatever the methods.
    """
    given = signals if signals is not None else {}
    watched = [_Watched(method) for method in parse(methods)]
    advantages = assign(batch, watched, given, level=level)
    at_tokens = False
    columns: list[Why] = []
    values: Floats = np.empty(0)
    for method in watched:
        at_tokens = at_tokens or method.level == "token"
        values = token_means(method.after, batch) if at_tokens else method.after
        columns.append(_records(batch, method, values, given))
    return Explained(advantages, values, [list(of_turn) for of_turn in zip(*columns, strict=True)])


class _Watched:
    """A method that keeps what it was given and what it made of it."""

    def __init__(self, method: CreditMethod) -> None:
        self.method = method
        self.before: Advantages | None = None
        self.after: Advantages = np.empty(0)

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def stage(self) -> Any:
        return self.method.stage

    @property
    def level(self) -> Level:
        return self.method.level

    @property
    def needs(self) -> frozenset[str]:
        return self.method.needs

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        self.before = advantages
        self.after = self.method(batch, advantages, signals)
        return self.after


def _records(batch: Batch, watched: _Watched, values: Floats, signals: Signals) -> Why:
    """Return the record of one method for each turn."""
    name = watched.name
    shown = values.tolist() if np.isfinite(values).all() else [plain(value) for value in values]
    if not isinstance(watched.method, Explains):
        return [{"method": name, "value": value} for value in shown]
    because = watched.method.explain(batch, watched.before, signals)
    if len(because) != batch.num_turns:
        raise ConfigError(
            f"credit method {name!r} explained {len(because)} turns of {batch.num_turns}; its "
            "explain() must return one record per turn"
        )
    return [
        {"method": name, "value": value, "because": record}
        if record
        else {"method": name, "value": value}
        for value, record in zip(shown, because, strict=True)
    ]
