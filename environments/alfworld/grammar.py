"""What a PDDL problem may say: the predicates, types and goals of ALFWorld's one domain.

A game that says anything else would be played wrongly, so it is refused when it is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentrl.environments.alfworld.game import TaskType
from agentrl.errors import did_you_mean

Facts = Mapping[str, list[tuple[str, ...]]]

ENTITY_TYPES = frozenset({"agent", "location", "receptacle", "object", "rtype", "otype"})
"""The types of the `:objects` section."""

_DOMAIN = """
atlocation agent location
receptacleatlocation receptacle location
objectatlocation object location
openable receptacle
opened receptacle
inreceptacle object receptacle
isreceptacleobject object
inreceptacleobject object object
isreceptacleobjectfull object
wasinreceptacle object receptacle
checked receptacle
examined location
receptacletype receptacle rtype
cancontain rtype otype
objecttype object otype
holds agent object
holdsany agent
holdsanyreceptacleobject agent
full receptacle
isclean object
cleanable object
ishot object
heatable object
iscool object
coolable object
pickupable object
moveable object
toggleable object
ison object
istoggled object
sliceable object
issliced object
distance location location
total-cost
"""

_SIGNATURES: Mapping[str, tuple[str, ...]] = {
    name: tuple(types) for name, *types in map(str.split, _DOMAIN.strip().splitlines())
}
"""Predicates and functions of the domain with the types of their arguments."""

_IN_HAND = ("holds", "holdsany", "holdsanyreceptacleobject")
_REQUIRED = (
    "atlocation",
    "receptacleatlocation",
    "receptacletype",
    "objecttype",
    "inreceptacle",
    "cancontain",
)

_LOGIC = re.compile(r"\(\s*(not|and|or|imply|exists|forall|when)[\s(]")
_ATOM = re.compile(r"\(\s*([\w=-]+)((?:\s+[^\s()]+)*)\s*\)")
_GOAL_WORDS = frozenset({"and", "exists", "not"})

GOALS: Mapping[frozenset[str], TaskType] = {
    frozenset(entry.strip() for entry in atoms.split(",")): task_type
    for task_type, atoms in {
        TaskType.PLACE: "objecttype ?o, receptacletype ?r, inreceptacle ?o ?r",
        TaskType.CLEAN: (
            "objecttype ?o, receptacletype ?r, inreceptacle ?o ?r, cleanable ?o, isclean ?o"
        ),
        TaskType.HEAT: (
            "objecttype ?o, receptacletype ?r, inreceptacle ?o ?r, heatable ?o, ishot ?o"
        ),
        TaskType.COOL: (
            "objecttype ?o, receptacletype ?r, inreceptacle ?o ?r, coolable ?o, iscool ?o"
        ),
        TaskType.TWO: (
            "objecttype ?o1, objecttype ?o2, receptacletype ?r, inreceptacle ?o1 ?r,"
            "inreceptacle ?o2 ?r, = ?o1 ?o2"
        ),
        TaskType.LOOK: (
            "objecttype ?ot, toggleable ?ot, istoggled ?ot, inreceptacle ?ot ?r,"
            "receptacleatlocation ?r ?l, atlocation ?a ?l, objecttype ?o, holds ?a ?o"
        ),
    }.items()
}
"""The six goals, each by the atoms that it consists of."""


def problem_with_facts(facts: Facts, declared: Mapping[str, str], init: str) -> str | None:
    """Return what is wrong with the initial facts of a problem, or None.

    Args:
        facts: Rows of arguments by predicate.
        declared: The `:objects` section: type by name.
        init: The text that the facts were read from.
    """
    for name in _REQUIRED:
        if not facts.get(name):
            return f"its PDDL problem has no {name} facts"
    for name, kind in declared.items():
        if kind not in ENTITY_TYPES:
            return f"{name!r} has the unknown type {kind!r}; {did_you_mean(kind, ENTITY_TYPES)}"
    for predicate, rows in facts.items():
        signature = _SIGNATURES.get(predicate)
        if signature is None:
            return f"it has the unknown predicate {predicate!r}; " + did_you_mean(
                predicate, _SIGNATURES
            )
        problem = _problem_with_rows(predicate, rows, signature, declared)
        if problem is not None:
            return problem
    if len(facts["atlocation"]) != 1:
        return f"the agent is at {len(facts['atlocation'])} places at once"
    if any(facts.get(name) for name in _IN_HAND):
        return "the agent already holds something, which no ALFWorld game begins with"
    logic = _LOGIC.search(init)
    if logic:
        return f"its (:init …) section has {logic[1]!r}, where only facts belong"
    return _problem_with_receptacles(facts)


def _problem_with_rows(
    predicate: str,
    rows: Iterable[tuple[str, ...]],
    signature: tuple[str, ...],
    declared: Mapping[str, str],
) -> str | None:
    for row in rows:
        if len(row) != len(signature):
            return f"its {predicate} facts take {len(signature)} terms, not {' '.join(row)!r}"
        for term, kind in zip(row, signature, strict=True):
            if declared.get(term) == kind:
                continue
            if term not in declared:
                return f"{predicate} names {term!r}, which its (:objects …) section does not list"
            if predicate != "checked":
                return f"{predicate} names {term!r}, a {declared[term]}, in place of a {kind}"
    return None


def _problem_with_receptacles(facts: Facts) -> str | None:
    """Return which receptacle has no type or place; two official games have an egg without."""
    places = {row[0] for row in facts["receptacleatlocation"]}
    typed = {row[0] for row in facts["receptacletype"]}
    for receptacle in places - typed:
        return f"the receptacle {receptacle!r} has no type"
    for item, receptacle in facts["inreceptacle"]:
        if receptacle not in places:
            return f"{item!r} is in {receptacle!r}, which stands nowhere"
    return None


def read_goal_atoms(text: str) -> tuple[TaskType, dict[str, str]] | None:
    """Return the task type of a goal and the type that it asks of each variable.

    Returns:
        None for a goal that is none of the six.
    """
    words = set(re.findall(r"\(\s*([a-z]+)\s*(?=\()", text)) - {"goal"}
    atoms: set[str] = set()
    types: dict[str, str] = {}
    for predicate, terms in _ATOM.findall(text):
        arguments = terms.split()
        if predicate in ("objecttype", "receptacletype") and len(arguments) == 2:
            if types.setdefault(arguments[0], arguments[1]) != arguments[1]:
                return None
            arguments.pop()
        atoms.add(" ".join((predicate, *arguments)))
    task_type = GOALS.get(frozenset(atoms))
    is_negated = text.count("(not") - (task_type is TaskType.TWO)
    if task_type is None or not words <= _GOAL_WORDS or is_negated:
        return None
    return None if types.get("?o1") != types.get("?o2") else (task_type, types)
