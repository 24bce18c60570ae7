"""What may clash in a list of credit methods: each function returns the names that do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import combinations

from agentrl.credit.base import STAGES, CreditMethod
from agentrl.credit.empg import Empg
from agentrl.credit.gigpo import Gigpo
from agentrl.credit.graph_value import GraphValue
from agentrl.credit.igpo import Igpo
from agentrl.credit.oprl import Oprl

Methods = Sequence[CreditMethod]
Clash = Sequence[str]
"""The names that clash; none where all is well."""

COINCIDENCE = ("salt", "gigpo", "graph_value")
"""Methods that learn from states which several episodes visit."""
STEP = (*COINCIDENCE, "igpo", "oprl")
"""Methods that work on the advantages of a group, turn by turn."""
GROUP = ("grpo", "dr_grpo", "rloo", "bnpo", "reinforce_pp_baseline", "dr_mas")
"""Estimators that compare an episode with the others of its task."""
CENTRED = ("dr_grpo", "rloo")
"""Estimators that do not divide by a deviation."""
STANDARDISED = ("grpo", "dr_mas", "reinforce_pp_baseline", "spo")
"""Estimators that do."""


def pair(first: Collection[str], then: Collection[str]) -> Callable[[Methods], Clash]:
    """Find a method of the one kind that stands, anywhere, before one of the other."""

    def find(methods: Methods) -> Clash:
        pairs = combinations([method.name for method in methods], 2)
        return next(((a, b) for a, b in pairs if a in first and b in then), ())

    return find


def no_estimator_first(methods: Methods) -> Clash:
    """Find a list that does not begin with an outcome estimator; name two of them."""
    return () if methods and methods[0].stage == "outcome" else ("grpo", "rloo")


def two_estimators(methods: Methods) -> Clash:
    """Find outcome estimators beyond the first."""
    names = [method.name for method in methods if method.stage == "outcome"]
    return names if len(names) > 1 else ()


def wrong_order(methods: Methods) -> Clash:
    """Find a method whose stage comes before that of one that stands before it."""
    pairs = combinations(methods, 2)
    wrong = (
        (b.name, b.stage, a.name, a.stage)
        for a, b in pairs
        if STAGES.index(b.stage) < STAGES.index(a.stage)
    )
    return next(wrong, ())


def turns_after_tokens(methods: Methods) -> Clash:
    """Find a method per turn that stands after one per token."""
    pairs = combinations(methods, 2)
    return next(
        ((b.name, a.name) for a, b in pairs if a.level == "token" and b.level == "turn"), ()
    )


def twice(methods: Methods) -> Clash:
    """Find a method that is named more than once."""
    names = [method.name for method in methods]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def replaced_by_graph(methods: Methods) -> Clash:
    """Find graph values that discard what a process reward has added."""
    graphs = [m.name for m in methods if isinstance(m, GraphValue) and not m.weight_of_host]
    return pair(("oprl",), graphs)(methods)


def other_normaliser(methods: Methods) -> Clash:
    """Find GiGPO with another normaliser than the estimator has."""
    host = methods[0].name
    wrong = {"mean_std_norm": CENTRED, "mean_norm": STANDARDISED}
    return [
        text
        for m in methods
        if isinstance(m, Gigpo) and host in wrong.get(m.normaliser, ())
        for text in (m.normaliser, host)
    ]


def unheard_host(methods: Methods) -> Clash:
    """Find an estimator whose values IGPO discards, so that another was meant."""
    host = methods[0].name
    deaf = any(isinstance(m, Igpo) and m.outcome == "zscore" for m in methods)
    return (host,) if deaf and host in (*GROUP, "spo") and host != "grpo" else ()


def deviation_after_bonus(methods: Methods) -> Clash:
    """Find a division by a deviation after a method that adds something."""
    return pair([m.name for m in methods if _adds(m)], ("whiten",))(methods)


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
