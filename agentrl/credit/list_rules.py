"""Which credit methods go together in one list.

`LIST_RULES` is read top to bottom: a row finds what clashes, says why, and gives a list that is
nearer to one that makes sense. Only combinations without meaning are refused; those that some
experiment might want are not. Methods that are in no row, such as one's own, go with all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentrl.credit import clashes, mends
from agentrl.credit.base import STAGES
from agentrl.credit.clashes import COINCIDENCE, STEP, Clash, Methods, pair
from agentrl.credit.grpo import Grpo
from agentrl.credit.reinforce_pp_baseline import ReinforcePPBaseline
from agentrl.entries import written
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ListRule:
    """A credit list that makes no sense."""

    clash: Callable[[Methods], Clash]
    why: str
    """With the clashing names in the place of `{0}`, `{1}`."""
    mend: Callable[[Methods], Methods]
    """A list that is nearer to one that makes sense."""


LIST_RULES: tuple[ListRule, ...] = (
    # The shape of a list.
    ListRule(
        clashes.no_estimator_first,
        "must begin with an outcome estimator such as {0} or {1}",
        mends.by_stage,
    ),
    ListRule(
        clashes.two_estimators, "has two outcome estimators, {0} and {1}", mends.first_estimator
    ),
    ListRule(
        clashes.wrong_order,
        f"is out of order ({', '.join(STAGES)}): {{0}} ({{1}}) must stand before {{2}} ({{3}})",
        mends.by_stage,
    ),
    ListRule(clashes.twice, "names {0} twice", mends.once),
    # Step-level methods and what they work on.
    ListRule(
        pair(("gae",), STEP),
        "makes no sense: {1} works on advantages within a group, and {0} compares with a critic",
        mends.hosted_by(Grpo()),
    ),
    ListRule(
        pair(("reinforce_pp",), STEP),
        "makes no sense: {1} works on advantages within a group, and {0} has no groups",
        mends.hosted_by(ReinforcePPBaseline()),
    ),
    ListRule(
        clashes.turns_after_tokens,
        "makes no sense: {0} works per turn and cannot follow {1}, which works per token",
        mends.per_turn,
    ),
    # Step-level methods with each other.
    ListRule(
        pair(COINCIDENCE, COINCIDENCE),
        "counts one thing twice: {0} and {1} both learn from states that episodes share",
        mends.first_of(COINCIDENCE),
    ),
    ListRule(
        pair(("igpo", "oprl"), ("igpo", "oprl")),
        "pays each turn twice: {0} and {1} are both process signals",
        mends.first_of(("igpo", "oprl")),
    ),
    ListRule(
        pair(COINCIDENCE, ("igpo",)),
        "makes no sense: {1} would put values of its own in the place of those of {0}",
        mends.first_of(STEP),
    ),
    ListRule(
        pair(("igpo",), COINCIDENCE),
        "makes no sense: values of {0} are sums over the turns that are left, and {1} would "
        "compare them whatever the episodes' lengths",
        mends.first_of(STEP),
    ),
    ListRule(
        pair(("oprl",), ("salt",)),
        "is out of order: {1} averages what whole episodes earned, so it must stand before {0}",
        mends.moved_first("salt"),
    ),
    ListRule(
        clashes.replaced_by_graph,
        "is out of order: {1} would put values of its own in the place of those of {0}",
        mends.moved_first("graph_value"),
    ),
    # One normalisation for all parts of an advantage, and before anything is added.
    ListRule(
        clashes.other_normaliser,
        "adds parts of different scale: normaliser {0} of 'gigpo' does not fit {1}",
        mends.normaliser_of_host,
    ),
    ListRule(
        clashes.unheard_host,
        "makes no sense: 'igpo' standardises outcomes itself, so {0} would have no effect",
        mends.heard_host,
    ),
    ListRule(
        clashes.deviation_after_bonus,
        "is out of order: {1} would divide by a deviation what {0} has added, and normalisation "
        "must come before",
        mends.deviation_in_host,
    ),
)


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
