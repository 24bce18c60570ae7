"""What makes a list of credit methods better: each function returns a list nearer to sense."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

from agentrl.credit.base import STAGES, CreditMethod
from agentrl.credit.clashes import CENTRED, Methods
from agentrl.credit.gae import Gae
from agentrl.credit.gigpo import Gigpo
from agentrl.credit.grpo import Grpo
from agentrl.credit.igpo import Igpo
from agentrl.credit.reinforce_pp import ReinforcePP
from agentrl.credit.reinforce_pp_baseline import ReinforcePPBaseline


def by_stage(methods: Methods) -> Methods:
    """Sort by stage; begin with grpo where there is no estimator."""
    ordered = sorted(methods, key=lambda method: STAGES.index(method.stage))
    return ordered if ordered and ordered[0].stage == "outcome" else [Grpo(), *ordered]


def first_estimator(methods: Methods) -> Methods:
    """Keep the first estimator alone."""
    return [methods[0], *(method for method in methods if method.stage != "outcome")]


def per_turn(methods: Methods) -> Methods:
    """Let the estimator work per turn, or leave out what works per turn after it."""
    host = methods[0]
    if isinstance(host, Gae):
        return [dataclasses.replace(host, mode="turn"), *methods[1:]]
    if isinstance(host, ReinforcePP) and host.level == "token":
        return [dataclasses.replace(host, kl_coefficient=0.0), *methods[1:]]
    return [method for method in methods if method.level != "turn" or method is host]


def once(methods: Methods) -> Methods:
    """Keep the first of each name."""
    return list({method.name: method for method in reversed(methods)}.values())[::-1]


def hosted_by(host: CreditMethod) -> Callable[[Methods], Methods]:
    """Put another estimator in the place of the first method."""
    return lambda methods: [host, *methods[1:]]


def first_of(names: Collection[str]) -> Callable[[Methods], Methods]:
    """Keep the first of these methods alone."""

    def mend(methods: Methods) -> Methods:
        first = next(method for method in methods if method.name in names)
        return [m for m in methods if m is first or m.name not in names]

    return mend


def moved_first(name: str) -> Callable[[Methods], Methods]:
    """Put a step method right behind the estimator."""

    def mend(methods: Methods) -> Methods:
        moved = [method for method in methods if method.name == name]
        return [methods[0], *moved, *(m for m in methods[1:] if m.name != name)]

    return mend


def normaliser_of_host(methods: Methods) -> Methods:
    """Let GiGPO follow its estimator."""
    return [
        dataclasses.replace(m, normaliser="host") if isinstance(m, Gigpo) else m for m in methods
    ]


def heard_host(methods: Methods) -> Methods:
    """Let IGPO take outcomes from the estimator; with one pool for all it cannot."""
    if any(isinstance(m, Igpo) and m.normalise == "joint" for m in methods):
        return [Grpo(), *methods[1:]]
    return [dataclasses.replace(m, outcome="host") if isinstance(m, Igpo) else m for m in methods]


def deviation_in_host(methods: Methods) -> Methods:
    """Leave whitening out; have the estimator do it where it would else do none."""
    # On a centred estimator `whiten` is what makes it `reinforce_pp_baseline`.
    host = ReinforcePPBaseline() if methods[0].name in CENTRED else methods[0]
    return [host, *(method for method in methods[1:] if method.name != "whiten")]
