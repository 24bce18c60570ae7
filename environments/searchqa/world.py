"""A small world of people and towns: its relations, how they are written and asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentrl.environments.searchqa.library import Passage


@dataclass(frozen=True, slots=True)
class Relation:
    """What links one entity to exactly one other."""

    noun: str
    """As in `the mother of X`."""
    question: str
    """Asks for what `{}` is linked to."""


ELDERS = ("mother", "father", "teacher")
"""Relations that never lead back to where they came from."""
PEERS = ("boss", "friend")
PERSONAL = (*ELDERS, *PEERS)

RELATIONS: Mapping[str, Relation] = {
    **{name: Relation(name, f"Who is the {name} of {{}}?") for name in (*PERSONAL, "mayor")},
    "birthplace": Relation("birthplace", "Where was {} born?"),
    "home": Relation("home town", "Where does {} live?"),
    "job": Relation("job", "What is the job of {}?"),
    "country": Relation("country", "Which country is {} in?"),
}


@dataclass(frozen=True, slots=True)
class World:
    """Entities and their facts."""

    facts: Mapping[str, Mapping[str, str]]
    """By entity, then by relation, the entity or value it leads to; in the passages' order."""
    women: frozenset[str]

    def follow(self, start: str, relations: Sequence[str]) -> list[str]:
        """Return what relations lead to one after the other, the start first."""
        path = [start]
        for relation in relations:
            path.append(self.facts[path[-1]][relation])
        return path

    def passage(self, entity: str) -> Passage:
        """Return the passage about an entity."""
        facts = self.facts[entity]
        if "mayor" in facts:
            return Passage(entity, f"A town in {facts['country']}. Its mayor is {facts['mayor']}.")
        whose = "Her" if entity in self.women else "His"
        people = [f" {whose} {name} is {facts[name]}." for name in PERSONAL if name in facts]
        start = f"A {facts['job']}, born in {facts['birthplace']}, living in {facts['home']}."
        return Passage(entity, "".join((start, *people)))


def ask(start: str, relations: Sequence[str]) -> str:
    """Return the question for what relations lead to from an entity."""
    phrase = start
    for relation in relations[:-1]:
        phrase = f"the {RELATIONS[relation].noun} of {phrase}"
    return RELATIONS[relations[-1]].question.format(phrase)
