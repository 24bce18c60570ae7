"""Questions over small worlds, made without any data.

A question is determined by its level and seed. Every world is drawn anew, so nothing can be known
without searching: what `Ada Holm` was born in differs from task to task. The answer is unique,
because each relation leads to one entity, and every entity on the way has a passage of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentrl.dice import Dice
from agentrl.environments.searchqa.levels import COUNTRIES_IN_A_WORLD, Level
from agentrl.environments.searchqa.library import SmallLibrary
from agentrl.environments.searchqa.question import Question, content_hash
from agentrl.environments.searchqa.vocabulary import COUNTRIES, FAMILIES, JOBS, MEN, TOWNS, WOMEN
from agentrl.environments.searchqa.world import ELDERS, PERSONAL, World, ask
from agentrl.errors import ConfigError

_ATTEMPTS = 1000
_ACQUAINTANCES = 2
"""How many other people a passage about a person names."""


def generate(level: Level, seed: int, *, attempt: int = 0) -> Question:
    """Return the question of a level and a seed.

    Args:
        level: How hard it is.
        seed: Any whole number.
        attempt: Counts variations of the same seed, for callers that turn a question down.

    Raises:
        ConfigError: The level's worlds are too small for its number of hops.
    """
    dice = Dice(f"{level.name}/{seed}/{attempt}")
    for _ in range(_ATTEMPTS):
        world = _draw_world(level, dice)
        chain = _draw_chain(world, level.hops, dice)
        if chain is not None:
            return _question(world, *chain)
    raise ConfigError(
        f"level {level.name!r} has no chain of {level.hops} facts among {level.people} people; "
        "allow more people or fewer hops"
    )


def _draw_world(level: Level, dice: Dice) -> World:
    women, people = _draw_people(level, dice)
    towns = dice.sample(TOWNS, level.towns)
    countries = dice.sample(COUNTRIES, COUNTRIES_IN_A_WORLD)
    facts: dict[str, dict[str, str]] = {}
    for index, person in enumerate(people):
        facts[person] = {
            "job": dice.pick(JOBS),
            "birthplace": dice.pick(towns),
            "home": dice.pick(towns),
            **_acquaintances(index, people, women, dice),
        }
    for town in towns:
        facts[town] = {"country": dice.pick(countries), "mayor": dice.pick(people)}
    order = dice.sample(list(facts), len(facts))
    return World({entity: facts[entity] for entity in order}, women)


def _draw_people(level: Level, dice: Dice) -> tuple[frozenset[str], list[str]]:
    """Return the women, and all people from the youngest to the eldest."""
    families = dice.sample(FAMILIES, level.families)
    women: set[str] = set()
    people: dict[str, None] = {}
    while len(people) < level.people:
        is_woman = dice.pick((True, False))
        name = f"{dice.pick(WOMEN if is_woman else MEN)} {dice.pick(families)}"
        people[name] = None
        if is_woman:
            women.add(name)
    return frozenset(women), list(people)


def _acquaintances(
    index: int, people: list[str], women: frozenset[str], dice: Dice
) -> dict[str, str]:
    """Return whom a person is linked to, by relation."""
    found: dict[str, str] = {}
    for relation in dice.sample(PERSONAL, len(PERSONAL)):
        if len(found) == _ACQUAINTANCES:
            break
        others = people[index + 1 :] if relation in ELDERS else people[:index] + people[index + 1 :]
        if relation in ("mother", "father"):
            others = [name for name in others if (name in women) == (relation == "mother")]
        others = [name for name in others if name not in found.values()]
        if others:
            found[relation] = dice.pick(others)
    return found


def _draw_chain(world: World, hops: int, dice: Dice) -> tuple[str, list[str]] | None:
    """Return a start and relations that lead from it through different entities, or None."""
    start = here = dice.pick(list(world.facts))
    met = {start}
    relations: list[str] = []
    while len(relations) < hops:
        is_last = len(relations) == hops - 1
        ways = [
            relation
            for relation, there in world.facts[here].items()
            if there not in met and (is_last or there in world.facts)
        ]
        if not ways:
            return None
        relations.append(dice.pick(ways))
        here = world.facts[here][relations[-1]]
        met.add(here)
    return start, relations


def _question(world: World, start: str, relations: list[str]) -> Question:
    path = world.follow(start, relations)
    return Question(
        text=ask(start, relations),
        answers=(path[-1],),
        supporting=tuple(path[:-1]),
        library=SmallLibrary([world.passage(entity) for entity in world.facts]),
        names=_names(world, start),
        searchable=frozenset(world.facts),
        content=content_hash(_sorted_facts(world), start, relations),
    )


def _sorted_facts(world: World) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return all facts in an order that says nothing."""
    return sorted((entity, sorted(facts.items())) for entity, facts in world.facts.items())


def _names(world: World, start: str) -> Mapping[int, tuple[str, ...]]:
    """Return what question and passages name."""
    named = {
        number: (entity, *facts.values())
        for number, (entity, facts) in enumerate(world.facts.items())
    }
    return {-1: (start,), **named}
