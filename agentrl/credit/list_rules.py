"""Which credit methods go together in one list.

`LIST_RULES` is read top to bottom: a row finds what clashes, says why, and gives a list that is
nearer to one that makes sense. Only combinations without meaning are refused; those that some
experiment might want are not. Methods that are in no row, such as one's own, go with all others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

from agentrl.credit.base import STAGES, CreditMethod
from agentrl.credit.empg import Empg
from agentrl.credit.gae import Gae
from agentrl.credit.gigpo import Gigpo
from agentrl.credit.graph_value import GraphValue
from agentrl.credit.grpo import Grpo
from agentrl.credit.igpo import Igpo
from agentrl.credit.oprl import Oprl
from agentrl.credit.reinforce_pp import ReinforcePP
from agentrl.credit.reinforce_pp_baseline import ReinforcePPBaseline
from agentrl.entries import written
from agentrl.errors import ConfigError

Methods = Sequence[CreditMethod]
Clash = Sequence[str]
"""The names that clash; none where all is well."""

COINCIDENCE = ("salt", "gigpo", "graph_value")
"""Methods that learn from states which several episodes visit."""
STEP = (*COINCIDENCE, "igpo", "oprl")
"""Methods that work on the advantages of a group, turn by turn."""
GROUP = ("grpo", "dr_grpo", "rloo", "reinforce_pp_baseline", "dr_mas")
"""Estimators that compare an episode with the others of its task."""
CENTRED = ("dr_grpo", "rloo")
"""Estimators that do not divide by a deviation."""
STANDARDISED = ("grpo", "dr_mas", "reinforce_pp_baseline", "spo")
"""Estimators that do."""


@dataclass(frozen=True, slots=True)
class ListRule:
    """A credit list that makes no sense."""

    clash: Callable[[Methods], Clash]
    why: str
    """With the clashing names in the place of `{0}`, `{1}`."""
    mend: Callable[[Methods], Methods]
    """A list that is nearer to one that makes sense."""


def check_list(methods: Methods) -> None:
    """Refuse a credit list that makes no sense.

    Raises:
        ConfigError: Says why, and which list is the nearest that does.
    """
    for rule in LIST_RULES:
        found = rule.clash(methods)
        if found:
            raise ConfigError(
                f"credit list {written(methods)} {rule.why.format(*map(repr, found))}; "
                f"use {written(nearest(methods))}"
            )


def nearest(methods: Methods) -> Methods:
    """Return the list itself where it makes sense, else the nearest one that does."""
    for _ in range(4 * len(methods) + 4):
        broken = next((rule for rule in LIST_RULES if rule.clash(methods)), None)
        if broken is None:
            break
        methods = broken.mend(methods)
    return methods


def _pair(first: Collection[str], then: Collection[str]) -> Callable[[Methods], Clash]:
    """Find a method of the one kind that stands, anywhere, before one of the other."""

    def find(methods: Methods) -> Clash:
        pairs = combinations([method.name for method in methods], 2)
        return next(((a, b) for a, b in pairs if a in first and b in then), ())

    return find


def _stages(methods: Methods) -> list[int]:
    return [STAGES.index(method.stage) for method in methods]


def _no_estimator_first(methods: Methods) -> Clash:
    return () if methods and methods[0].stage == "outcome" else ("grpo", "rloo")


def _two_estimators(methods: Methods) -> Clash:
    names = [method.name for method in methods if method.stage == "outcome"]
    return names if len(names) > 1 else ()


def _wrong_order(methods: Methods) -> Clash:
    pairs = combinations(methods, 2)
    wrong = (
        (b.name, b.stage, a.name, a.stage)
        for a, b in pairs
        if STAGES.index(b.stage) < STAGES.index(a.stage)
    )
    return next(wrong, ())


def _turns_after_tokens(methods: Methods) -> Clash:
    pairs = combinations(methods, 2)
    return next(
        ((b.name, a.name) for a, b in pairs if a.level == "token" and b.level == "turn"), ()
    )


def _twice(methods: Methods) -> Clash:
    names = [method.name for method in methods]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def _replaced_by_graph(methods: Methods) -> Clash:
    graphs = [m.name for m in methods if isinstance(m, GraphValue) and not m.weight_of_host]
    return _pair(("oprl",), graphs)(methods)


def _other_normaliser(methods: Methods) -> Clash:
    host = methods[0].name
    wrong = {"mean_std_norm": CENTRED, "mean_norm": STANDARDISED}
    return [
        text
        for m in methods
        if isinstance(m, Gigpo) and host in wrong.get(m.normaliser, ())
        for text in (m.normaliser, host)
    ]


def _unheard_host(methods: Methods) -> Clash:
    host = methods[0].name
    deaf = any(isinstance(m, Igpo) and m.outcome == "zscore" for m in methods)
    return (host,) if deaf and host in (*GROUP, "spo") and host != "grpo" else ()


def _deviation_after_bonus(methods: Methods) -> Clash:
    return _pair([m.name for m in methods if _adds(m)], ("whiten",))(methods)


def _adds(method: CreditMethod) -> bool:
    """Return whether a method adds something to the values that it is given."""
    match method:
        case Empg():
            return method.zeta > 0
        case Oprl():
            return method.alpha > 0
        case Gigpo():
            return method.omega > 0
        case GraphValue():
            return method.omega > 0 and method.weight_of_host > 0
        case _:
            return isinstance(method, Igpo)


def _by_stage(methods: Methods) -> Methods:
    ordered = sorted(methods, key=lambda method: STAGES.index(method.stage))
    return ordered if ordered and ordered[0].stage == "outcome" else [Grpo(), *ordered]


def _first_estimator(methods: Methods) -> Methods:
    return [methods[0], *(method for method in methods if method.stage != "outcome")]


def _per_turn(methods: Methods) -> Methods:
    host = methods[0]
    if isinstance(host, Gae):
        return [dataclasses.replace(host, mode="turn"), *methods[1:]]
    if isinstance(host, ReinforcePP) and host.level == "token":
        return [dataclasses.replace(host, kl_coefficient=0.0), *methods[1:]]
    return [method for method in methods if method.level != "turn" or method is host]


def _once(methods: Methods) -> Methods:
    return list({method.name: method for method in reversed(methods)}.values())[::-1]


def _hosted_by(host: CreditMethod) -> Callable[[Methods], Methods]:
    return lambda methods: [host, *methods[1:]]


def _first_of(names: Collection[str]) -> Callable[[Methods], Methods]:
    def mend(methods: Methods) -> Methods:
        first = next(method for method in methods if method.name in names)
        return [m for m in methods if m is first or m.name not in names]

    return mend


def _moved_first(name: str) -> Callable[[Methods], Methods]:
    """Put a step method right behind the estimator."""

    def mend(methods: Methods) -> Methods:
        moved = [method for method in methods if method.name == name]
        return [methods[0], *moved, *(m for m in methods[1:] if m.name != name)]

    return mend


def _normaliser_of_host(methods: Methods) -> Methods:
    return [
        dataclasses.replace(m, normaliser="host") if isinstance(m, Gigpo) else m for m in methods
    ]


def _heard_host(methods: Methods) -> Methods:
    if any(isinstance(m, Igpo) and m.normalise == "joint" for m in methods):
        return [Grpo(), *methods[1:]]
    return [dataclasses.replace(m, outcome="host") if isinstance(m, Igpo) else m for m in methods]


def _deviation_in_host(methods: Methods) -> Methods:
    # On a centred estimator `whiten` is what makes it `reinforce_pp_baseline`.
    host = ReinforcePPBaseline() if methods[0].name in CENTRED else methods[0]
    return [host, *(method for method in methods[1:] if method.name != "whiten")]


LIST_RULES: tuple[ListRule, ...] = (
    # The shape of a list.
    ListRule(
        _no_estimator_first, "must begin with an outcome estimator such as {0} or {1}", _by_stage
    ),
    ListRule(_two_estimators, "has two outcome estimators, {0} and {1}", _first_estimator),
    ListRule(
        _wrong_order,
        f"is out of order ({', '.join(STAGES)}): {{0}} ({{1}}) must stand before {{2}} ({{3}})",
        _by_stage,
    ),
    ListRule(_twice, "names {0} twice", _once),
    # Step-level methods and what they work on.
    ListRule(
        _pair(("gae",), STEP),
        "makes no sense: {1} works on advantages within a group, and {0} compares with a critic",
        _hosted_by(Grpo()),
    ),
    ListRule(
        _pair(("reinforce_pp",), STEP),
        "makes no sense: {1} works on advantages within a group, and {0} has no groups",
        _hosted_by(ReinforcePPBaseline()),
    ),
    ListRule(
        _turns_after_tokens,
        "makes no sense: {0} works per turn and cannot follow {1}, which works per token",
        _per_turn,
    ),
    # Step-level methods with each other.
    ListRule(
        _pair(COINCIDENCE, COINCIDENCE),
        "counts one thing twice: {0} and {1} both learn from states that episodes share",
        _first_of(COINCIDENCE),
    ),
    ListRule(
        lambda methods: _pair(("igpo", "oprl"), ("igpo", "oprl"))(methods),
        "pays each turn twice: {0} and {1} are both process signals",
        _first_of(("igpo", "oprl")),
    ),
    ListRule(
        _pair(COINCIDENCE, ("igpo",)),
        "makes no sense: {1} would put values of its own in the place of those of {0}",
        _first_of(STEP),
    ),
    ListRule(
        _pair(("igpo",), COINCIDENCE),
        "makes no sense: values of {0} are sums over the turns that are left, and {1} would "
        "compare them whatever the episodes' lengths",
        _first_of(STEP),
    ),
    ListRule(
        _pair(("oprl",), ("salt",)),
        "is out of order: {1} averages what whole episodes earned, so it must stand before {0}",
        _moved_first("salt"),
    ),
    ListRule(
        _replaced_by_graph,
        "is out of order: {1} would put values of its own in the place of those of {0}",
        _moved_first("graph_value"),
    ),
    # One normalisation for all parts of an advantage, and before anything is added.
    ListRule(
        _other_normaliser,
        "adds parts of different scale: normaliser {0} of 'gigpo' does not fit {1}",
        _normaliser_of_host,
    ),
    ListRule(
        _unheard_host,
        "makes no sense: 'igpo' standardises outcomes itself, so {0} would have no effect",
        _heard_host,
    ),
    ListRule(
        _deviation_after_bonus,
        "is out of order: {1} would divide by a deviation what {0} has added, and normalisation "
        "must come before",
        _deviation_in_host,
    ),
)
