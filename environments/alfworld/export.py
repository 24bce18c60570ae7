"""Writing a game as PDDL, so that the original engine can play it, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from agentrl.environments.alfworld.game import CURRENT, Game, TaskType, members

_OBJECT_TYPES_OF_THE_DOMAIN = ("knifetype", "butterknifetype", "sinktype")
_RECEPTACLE_TYPES_OF_THE_DOMAIN = ("sinkbasintype", "microwavetype", "fridgetype")
_STATES = {
    TaskType.CLEAN: ("cleanable", "isClean"),
    TaskType.HEAT: ("heatable", "isHot"),
    TaskType.COOL: ("coolable", "isCool"),
}


def to_pddl(game: Game) -> str:
    """Return the PDDL problem of a game, for the domain of the official release.

    Reading it back with `parse_game` gives the same game.
    """
    ids = _Ids(game)
    objects = "\n  ".join(_declarations(game, ids))
    facts = "\n  ".join(f"({' '.join(fact)})" for fact in _facts(game, ids))
    return (
        f"(define (problem {game.id.partition('/')[0] or 'game'})\n(:domain alfred)\n"
        f"(:objects\n  {objects}\n)\n(:init\n  {facts}\n)\n(:goal\n  {_goal(game, ids)}\n)\n)\n"
    )


def to_game_file(game: Game, domain: str, grammar: str) -> dict[str, object]:
    """Return the content of a `game.tw-pddl` file.

    Args:
        game: The game; it must use the wordings of the current release.
        domain: The text of the official PDDL domain.
        grammar: The text of the official grammar, with `@@TASK@@` in place of the goal.
    """
    assert game.phrases == CURRENT, "the grammar belongs to the current release"
    return {
        "pddl_domain": domain,
        "grammar": grammar.replace("@@TASK@@", f"Your task is to: {game.goal.sentence}"),
        "pddl_problem": to_pddl(game),
        "solvable": True,
    }


class _Ids:
    """The internal ids: they sort in the order in which the game lists its entities."""

    def __init__(self, game: Game) -> None:
        self.receptacles = _numbered(game.receptacles)
        self.objects = _numbered(game.objects)
        self.receptacle_types = [
            "sinkbasintype" if game.traits.sinks >> number & 1 else _type(name)
            for number, name in enumerate(game.receptacles)
        ]
        self.object_types = [_type(name) for name in game.objects]


def _numbered(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    ids = []
    for name in names:
        kind = name.partition(" ")[0]
        stem, separator, _ = kind.partition("basin")
        suffix = f"_bar_{kind}" if separator else ""
        ids.append(f"{stem}_bar_{seen[kind]:03d}{suffix}")
        seen[kind] += 1
    return ids


def _type(name: str) -> str:
    return f"{name.partition(' ')[0]}type"


def _declarations(game: Game, ids: _Ids) -> Iterator[str]:
    yield "agent1 - agent"
    object_types = {*ids.object_types, *_OBJECT_TYPES_OF_THE_DOMAIN}
    for name in sorted(object_types):
        yield f"{name} - otype"
    for name in sorted({*ids.receptacle_types, *_RECEPTACLE_TYPES_OF_THE_DOMAIN} - object_types):
        yield f"{name} - rtype"
    for item in ids.objects:
        yield f"{item} - object"
    for receptacle in ids.receptacles:
        yield f"{receptacle} - receptacle"
    for place in sorted(_places(game)):
        yield f"{_location(place)} - location"


def _places(game: Game) -> set[int]:
    standing = (place for mask in game.start.object_places for place in members(mask))
    return {game.start.place, *game.receptacle_places, *standing}


def _location(place: int) -> str:
    return f"loc_bar_{place}"


def _facts(game: Game, ids: _Ids) -> Iterator[tuple[str, ...]]:
    yield "atLocation", "agent1", _location(game.start.place)
    yield from _receptacle_facts(game, ids)
    yield from _object_facts(game, ids)
    pairs = {
        (ids.receptacle_types[receptacle], ids.object_types[item])
        for item, mask in enumerate(game.accepts)
        for receptacle in members(mask)
    }
    for pair in sorted(pairs):
        yield "canContain", *pair


def _receptacle_facts(game: Game, ids: _Ids) -> Iterator[tuple[str, ...]]:
    for number, receptacle in enumerate(ids.receptacles):
        yield "receptacleType", receptacle, ids.receptacle_types[number]
        yield "receptacleAtLocation", receptacle, _location(game.receptacle_places[number])
        for item in game.start.contents[number]:
            yield "inReceptacle", ids.objects[item], receptacle
    yield from _unary("openable", game.traits.openable, ids.receptacles)
    yield from _unary("opened", game.start.opened, ids.receptacles)


def _object_facts(game: Game, ids: _Ids) -> Iterator[tuple[str, ...]]:
    traits, start = game.traits, game.start
    for number, item in enumerate(ids.objects):
        yield "objectType", item, ids.object_types[number]
        for place in members(start.object_places[number]):
            yield "objectAtLocation", item, _location(place)
        for inner in game.inside.get(number, ()):
            yield "inReceptacleObject", ids.objects[inner], item
    for predicate, mask in (
        ("pickupable", traits.pickupable),
        ("cleanable", traits.cleanable),
        ("heatable", traits.heatable),
        ("coolable", traits.coolable),
        ("toggleable", traits.toggleable),
        ("sliceable", traits.sliceable),
        ("isReceptacleObject", traits.vessels),
        ("isClean", start.clean),
        ("isHot", start.hot),
        ("isCool", start.cool),
        ("isSliced", start.sliced),
        ("isToggled", start.toggled),
    ):
        yield from _unary(predicate, mask, ids.objects)


def _unary(predicate: str, mask: int, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for number in members(mask):
        yield predicate, names[number]


def _goal(game: Game, ids: _Ids) -> str:
    goal = game.goal
    kind = _only(ids.object_types[item] for item in members(goal.objects))
    if goal.task_type is TaskType.LOOK:
        lamp = _only(ids.object_types[item] for item in members(goal.lamps))
        return (
            "(and (exists (?ot - object ?r - receptacle ?a - agent ?l - location)"
            f" (and (objectType ?ot {lamp}) (toggleable ?ot) (isToggled ?ot)"
            " (receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?ot ?r)))"
            f" (exists (?o - object ?a - agent) (and (objectType ?o {kind}) (holds ?a ?o))))"
        )
    place = _only(ids.receptacle_types[receptacle] for receptacle in members(goal.receptacles))
    if goal.task_type is TaskType.TWO:
        return (
            "(and (exists (?r - receptacle) (exists (?o1 - object)"
            f" (and (objectType ?o1 {kind}) (receptacleType ?r {place}) (inReceptacle ?o1 ?r)"
            f" (exists (?o2 - object) (and (not (= ?o1 ?o2)) (objectType ?o2 {kind})"
            f" (receptacleType ?r {place}) (inReceptacle ?o2 ?r)))))))"
        )
    able, state = _STATES.get(goal.task_type, ("", ""))
    treated = f" ({able} ?o) ({state} ?o)" if able else ""
    return (
        "(and (exists (?r - receptacle) (exists (?o - object)"
        f" (and (inReceptacle ?o ?r) (objectType ?o {kind}) (receptacleType ?r {place})"
        f"{treated}))))"
    )


def _only(types: Iterable[str]) -> str:
    return next(iter(types))
