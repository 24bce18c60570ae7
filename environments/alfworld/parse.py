"""Reading a game from the PDDL problem text of the official data.

Only what matters for playing is read: the facts of `:init` and the goal. The domain is the same in
every official game, its twelve actions live in `engine.py`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from agentrl.environments.alfworld.game import (
    CURRENT,
    Game,
    Goal,
    Phrases,
    Start,
    TaskType,
    Traits,
    mask_of,
)
from agentrl.environments.alfworld.grammar import Facts, problem_with_facts, read_goal_atoms
from agentrl.errors import TaskError

_FACT = re.compile(r"\(\s*([\w-]+)((?:\s+[^\s()]+)*)\s*\)")
_COMMENT = re.compile(r";[^\n]*")
_SENTENCE_START = "Your task is to: "


def parse_game(
    problem: str,
    sentence: str,
    *,
    game_id: str | None = None,
    phrases: Phrases = CURRENT,
    where: str = "",
) -> Game:
    """Compile a game from its PDDL problem.

    Args:
        problem: The text of the PDDL problem.
        sentence: The goal in words, with or without `Your task is to: `.
        game_id: The game's name; by default a hash of its content.
        phrases: The wordings of the game's release.
        where: The file and line it was read from, for errors.

    Raises:
        TaskError: The text is not a complete ALFWorld problem; says what is missing or unknown.
    """
    try:
        facts, declared, goal_text = _read(problem)
        places = _Numbering(place for _, place in sorted(facts["receptacleatlocation"]))
        places.extend(place for _, place in facts["atlocation"])
        places.extend(place for _, place in sorted(facts["objectatlocation"]))
        receptacles = _Numbering(sorted({fact[0] for fact in facts["receptacleatlocation"]}))
        typed_or_placed = (*facts["objecttype"], *facts["inreceptacle"])
        objects = _Numbering(sorted({fact[0] for fact in typed_or_placed}))
        reader = _Reader(facts, receptacles, objects, places)
        goal = reader.goal(goal_text, clean_sentence(sentence), declared)
    except _Damage as damage:
        name = f"game {game_id or 'without a name'!r}" + (f" ({where})" if where else "")
        raise TaskError(
            f"{name} is damaged: {damage}; get the file again from the official release"
        ) from None
    names = _demangle({term for rows in facts.values() for row in rows for term in row})
    return Game(
        goal=goal,
        receptacles=tuple(names[term] for term in receptacles.terms),
        receptacle_places=reader.receptacle_places(),
        objects=tuple(names[term] for term in objects.terms),
        accepts=reader.accepts(),
        traits=reader.traits(),
        start=reader.start(),
        inside=reader.inside(),
        phrases=phrases,
        place_names=tuple(names[term] for term in places.terms) if phrases.names_places else (),
        id=game_id or "",
    )


def clean_sentence(sentence: str) -> str:
    """Return a goal in words without `Your task is to: `."""
    return sentence.removeprefix(_SENTENCE_START).strip()


class _Damage(Exception):
    """What is wrong with a problem; `parse_game` adds the name of the game."""


def _read(problem: str) -> tuple[Facts, dict[str, str], str]:
    """Split a problem into its initial facts, the types of its entities and its goal."""
    text = problem.lower()
    if ";" in text:
        text = _COMMENT.sub("", text)
    objects, start, end = (text.find(f"(:{part}") for part in ("objects", "init", "goal"))
    for part, place, after in (
        ("objects", objects, 0),
        ("init", start, objects),
        ("goal", end, start),
    ):
        if place < after:
            raise _Damage(f"its PDDL problem has no (:{part} …) section")
    if text.count("(") != text.count(")"):
        raise _Damage(
            f"its PDDL problem has {text.count('(')} opening but {text.count(')')} closing brackets"
        )
    facts: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for predicate, terms in _FACT.findall(text, start + len("(:init"), end):
        facts[predicate].append(tuple(terms.split()))
    declared = _declared(text[objects + len("(:objects") : start])
    problem_found = problem_with_facts(facts, declared, text[start + len("(:init") : end])
    if problem_found is not None:
        raise _Damage(problem_found)
    return facts, declared, text[end:]


def _declared(section: str) -> dict[str, str]:
    """Return the type of each name of an `:objects` section such as `a b - object c - agent`."""
    declared: dict[str, str] = {}
    names: list[str] = []
    words = iter(section.replace(")", " ").split())
    for word in words:
        if word == "-":
            kind = next(words, "")
            declared.update((name, kind) for name in names)
            names.clear()
        else:
            names.append(word)
    if names:
        raise _Damage(f"{names[0]!r} has no type in its (:objects …) section")
    return declared


class _Numbering:
    """Numbers terms in the order in which they come."""

    def __init__(self, terms: Iterable[str]) -> None:
        self.index: dict[str, int] = {}
        self.extend(terms)

    def extend(self, terms: Iterable[str]) -> None:
        for term in terms:
            self.index.setdefault(term, len(self.index))

    @property
    def terms(self) -> Iterable[str]:
        return self.index

    def mask(self, terms: Iterable[str]) -> int:
        return mask_of(self.index[term] for term in terms if term in self.index)


def _demangle(terms: set[str]) -> dict[str, str]:
    """Return the name of each term: its kind and a number that falls in the order of the ids."""
    kinds = {}
    for term in sorted(terms):
        kind, separator, _ = term.partition("_bar_")
        if separator:
            kinds[term] = kind + ("basin" if "basin" in term else "")
    left = Counter(kinds.values())
    names = {term: f"{term} " for term in terms}
    for term, kind in kinds.items():
        names[term] = f"{kind} {left[kind]}"
        left[kind] -= 1
    return names


_ABLE = {TaskType.CLEAN: "cleanable", TaskType.HEAT: "heatable", TaskType.COOL: "coolable"}


class _Reader:
    """Turns facts over names into the tables of a `Game`."""

    def __init__(
        self, facts: Facts, receptacles: _Numbering, objects: _Numbering, places: _Numbering
    ) -> None:
        self.facts = facts
        self.receptacles = receptacles
        self.objects = objects
        self.places = places
        self.receptacle_type = dict(self._pairs("receptacletype"))
        self.object_type = dict(self._pairs("objecttype"))

    def _pairs(self, predicate: str) -> Iterable[tuple[str, str]]:
        return ((row[0], row[1]) for row in self.facts.get(predicate, ()) if len(row) == 2)

    def _objects_with(self, predicate: str) -> int:
        return self.objects.mask(row[0] for row in self.facts.get(predicate, ()))

    def _objects_of(self, *types: str) -> int:
        return self.objects.mask(o for o, kind in self.object_type.items() if kind in types)

    def _receptacles_of(self, *types: str) -> int:
        return self.receptacles.mask(r for r, kind in self.receptacle_type.items() if kind in types)

    def receptacle_places(self) -> tuple[int, ...]:
        where = dict(self._pairs("receptacleatlocation"))
        return tuple(self.places.index[where[r]] for r in self.receptacles.terms)

    def accepts(self) -> tuple[int, ...]:
        fits: dict[str, int] = defaultdict(int)
        by_type: dict[str, int] = defaultdict(int)
        for receptacle, kind in self.receptacle_type.items():
            by_type[kind] |= self.receptacles.mask([receptacle])
        for receptacle_kind, object_kind in self._pairs("cancontain"):
            fits[object_kind] |= by_type[receptacle_kind]
        return tuple(fits[self.object_type.get(o, "")] for o in self.objects.terms)

    def traits(self) -> Traits:
        openable = (row[0] for row in self.facts.get("openable", ()))
        return Traits(
            pickupable=self._objects_with("pickupable"),
            cleanable=self._objects_with("cleanable"),
            heatable=self._objects_with("heatable"),
            coolable=self._objects_with("coolable"),
            toggleable=self._objects_with("toggleable"),
            sliceable=self._objects_with("sliceable"),
            vessels=self._objects_with("isreceptacleobject"),
            knives=self._objects_of("knifetype", "butterknifetype"),
            openable=self.receptacles.mask(openable),
            sinks=self._receptacles_of("sinktype", "sinkbasintype"),
            microwaves=self._receptacles_of("microwavetype"),
            fridges=self._receptacles_of("fridgetype"),
        )

    def start(self) -> Start:
        contents: list[set[int]] = [set() for _ in self.receptacles.index]
        for o, r in self._pairs("inreceptacle"):
            if o in self.objects.index and r in self.receptacles.index:
                contents[self.receptacles.index[r]].add(self.objects.index[o])
        object_places = [0] * len(self.objects.index)
        for o, place in self._pairs("objectatlocation"):
            if o in self.objects.index:
                object_places[self.objects.index[o]] |= 1 << self.places.index[place]
        return Start(
            place=self.places.index[self.facts["atlocation"][0][1]],
            contents=tuple(tuple(sorted(inside)) for inside in contents),
            object_places=tuple(object_places),
            opened=self.receptacles.mask(row[0] for row in self.facts.get("opened", ())),
            clean=self._objects_with("isclean"),
            hot=self._objects_with("ishot"),
            cool=self._objects_with("iscool"),
            sliced=self._objects_with("issliced"),
            toggled=self._objects_with("istoggled"),
        )

    def inside(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, set[int]] = defaultdict(set)
        for inner, outer in self._pairs("inreceptacleobject"):
            if inner in self.objects.index and outer in self.objects.index:
                found[self.objects.index[outer]].add(self.objects.index[inner])
        return {outer: tuple(sorted(inner)) for outer, inner in found.items()}

    def goal(self, text: str, sentence: str, declared: Mapping[str, str]) -> Goal:
        found = read_goal_atoms(text)
        if found is None:
            words = " ".join(text.split())[:200]
            raise _Damage(f"its goal is none of ALFWorld's six: {words}")
        task_type, types = found
        for kind in types.values():
            if declared.get(kind) not in ("otype", "rtype"):
                raise _Damage(f"its goal asks for the unknown type {kind!r}")
        if task_type is TaskType.LOOK:
            lamps = self._objects_of(types["?ot"]) & self._objects_with("toggleable")
            return Goal(task_type, sentence, self._objects_of(types["?o"]), lamps=lamps)
        objects = self._objects_of(types.get("?o") or types["?o1"])
        able = _ABLE.get(task_type)
        if able is not None:
            objects &= self._objects_with(able)
        receptacles = self._receptacles_of(types["?r"])
        if not receptacles:
            raise _Damage(f"its goal asks for a {types['?r']!r}, and there is none")
        return Goal(task_type, sentence, objects, receptacles)
