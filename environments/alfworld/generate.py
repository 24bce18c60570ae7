"""Solvable games without any data, made directly in compiled form.

A game is determined by its level and seed. It is solvable by construction: the wanted objects can
be taken, a receptacle asked for accepts them, and the appliance or lamp that is needed is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentrl.dice import Dice
from agentrl.environments.alfworld.game import Game, Goal, Start, TaskType, Traits, mask_of
from agentrl.environments.alfworld.levels import Level, level_of
from agentrl.environments.alfworld.vocabulary import (
    OPENABLE_PERCENT,
    ObjectKind,
    RoomKind,
    object_kinds,
    room_kinds,
)
from agentrl.errors import ConfigError

APPLIANCE: Mapping[TaskType, str] = {
    TaskType.CLEAN: "sinkbasin",
    TaskType.HEAT: "microwave",
    TaskType.COOL: "fridge",
}
"""The receptacle that a task's treatment needs."""

LAMP = "desklamp"
SENTENCES: Mapping[TaskType, tuple[str, str]] = {
    TaskType.PLACE: ("put some {o} on {r}.", "put a {o} in {r}."),
    TaskType.LOOK: ("look at {o} under the {r}.", "examine the {o} with the {r}."),
    TaskType.CLEAN: ("put a clean {o} in {r}.", "clean some {o} and put it in {r}."),
    TaskType.HEAT: ("put a hot {o} in {r}.", "heat some {o} and put it in {r}."),
    TaskType.COOL: ("put a cool {o} in {r}.", "cool some {o} and put it in {r}."),
    TaskType.TWO: ("put two {o} in {r}.", "find two {o} and put them in {r}."),
}
"""The official wordings of a goal."""

_ROOMS_FOR: Mapping[TaskType, frozenset[str]] = {
    TaskType.LOOK: frozenset({"bedroom", "livingroom"}),
    TaskType.CLEAN: frozenset({"kitchen", "bathroom"}),
    TaskType.HEAT: frozenset({"kitchen"}),
    TaskType.COOL: frozenset({"kitchen"}),
}
_SHARED_PLACE_PERCENT = 12
_MOST_OF_A_KIND = 4
_ATTEMPTS = 1000


def generate(difficulty: int | Level, seed: int, *, attempt: int = 0) -> Game:
    """Return the game of a level and a seed.

    Args:
        difficulty: A level, or its number in `LEVELS`.
        seed: Any whole number.
        attempt: Counts variations of the same seed, for callers that turn a game down.

    Raises:
        ConfigError: The level allows no task at all in its rooms.
    """
    level = level_of(difficulty)
    dice = Dice(f"{level.name}/{seed}/{attempt}")
    for _ in range(_ATTEMPTS):
        task = _draw_task(level, dice)
        if task is not None:
            return _compile(level, task, _place_objects(level, task, dice), dice)
    raise ConfigError(
        f"level {level.name!r} has no room for its task types {', '.join(level.task_types)}; "
        "allow more rooms or more receptacles"
    )


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked for, and the furniture it is asked in."""

    type: TaskType
    room: RoomKind
    furniture: list[str]
    """The type of each receptacle."""
    target: ObjectKind
    goal: str
    """The receptacle type to put the target in; the lamp for a look task."""


_Placed = list[tuple[str, int]]
"""An object's type and the position of its receptacle in the furniture."""


def _draw_task(level: Level, dice: Dice) -> _Task | None:
    """Draw a task and furniture to match; None when the draw does not work out."""
    task_type = dice.pick(level.task_types)
    rooms = [room for room in level.rooms if room in _ROOMS_FOR.get(task_type, level.rooms)]
    if not rooms:
        return None
    room = room_kinds()[dice.pick(rooms)]
    furniture = _full_furniture(room, dice)
    if level.receptacles is not None and len(furniture) < level.receptacles[0]:
        return None
    types = frozenset(furniture)
    if task_type is TaskType.LOOK:
        hosts = [place for place in object_kinds()[LAMP].lies if place in types]
        target = _draw_target(task_type, room, types, dice)
        if not hosts or target is None:
            return None
        needed = [dice.pick(hosts), _draw_source(target, types, "", dice)]
        return _Task(task_type, room, _shrink(level, furniture, needed, dice), target, LAMP)
    target = _draw_target(task_type, room, types, dice)
    if target is None:
        return None
    goal = dice.pick(_goals(task_type, target, types))
    needed = [goal, _draw_source(target, types, goal, dice)]
    if task_type in APPLIANCE:
        needed.append(APPLIANCE[task_type])
    return _Task(task_type, room, _shrink(level, furniture, needed, dice), target, goal)


def _full_furniture(room: RoomKind, dice: Dice) -> list[str]:
    """Return the receptacle types of a room of official size."""
    found: list[str] = []
    for piece in room.furniture:
        if dice.chance(piece.chance):
            found += [piece.receptacle] * dice.between(piece.fewest, piece.most)
    return found


def _shrink(level: Level, furniture: list[str], needed: list[str], dice: Dice) -> list[str]:
    """Reduce furniture to the size of a level, keeping one of each needed type."""
    if level.receptacles is None:
        return furniture
    rest = list(furniture)
    kept = list(dict.fromkeys(needed))
    for receptacle in kept:
        rest.remove(receptacle)
    wanted = dice.between(*level.receptacles) - len(kept)
    return kept + dice.sample(rest, max(wanted, 0))


def _draw_target(
    task_type: TaskType, room: RoomKind, types: frozenset[str], dice: Dice
) -> ObjectKind | None:
    """Draw the kind of object that a task is about."""
    kinds = [object_kinds()[name] for name in room.objects]
    return dice.pick([kind for kind in kinds if _is_target(task_type, kind, types)] or [None])


def _is_target(task_type: TaskType, kind: ObjectKind, types: frozenset[str]) -> bool:
    """Return whether a task of some type can be about a kind of object in this furniture."""
    if not kind.is_pickupable:
        return False
    if task_type is TaskType.LOOK:
        return not types.isdisjoint(kind.lies)
    if task_type in APPLIANCE and APPLIANCE[task_type] not in types:
        return False
    able = {
        TaskType.CLEAN: kind.is_cleanable,
        TaskType.HEAT: kind.is_heatable,
        TaskType.COOL: kind.is_coolable,
    }
    return able.get(task_type, True) and bool(_goals(task_type, kind, types))


def _goals(task_type: TaskType, kind: ObjectKind, types: frozenset[str]) -> list[str]:
    """Return the receptacle types that the kind can be asked to be put in."""
    sources = types.intersection(kind.lies)
    return sorted(
        goal for goal in types & kind.fits if goal != APPLIANCE.get(task_type) and sources - {goal}
    )


def _draw_source(kind: ObjectKind, types: frozenset[str], goal: str, dice: Dice) -> str:
    """Draw a receptacle type where the wanted object may lie."""
    places = [place for place in kind.lies if place in types and place != goal]
    return dice.weighted(places, [kind.lies[place] for place in places])


def _place_objects(level: Level, task: _Task, dice: Dice) -> _Placed:
    """Put the wanted objects and then others into the furniture."""
    where: dict[str, list[int]] = {}
    for position, receptacle in enumerate(task.furniture):
        where.setdefault(receptacle, []).append(position)
    fewest = 2 if task.type is TaskType.TWO else 1
    copies = fewest + dice.weighted((0, 1, 2), (50, 30, 20))
    placed = [(task.target.name, _spot(task.target, where, task.goal, dice)) for _ in range(copies)]
    if task.type is TaskType.LOOK:
        placed.append((LAMP, _spot(object_kinds()[LAMP], where, "", dice)))
    names = [
        name
        for name in task.room.objects
        if name != task.target.name and not where.keys().isdisjoint(object_kinds()[name].lies)
    ]
    weights = [task.room.objects[name] for name in names]
    counts: Counter[str] = Counter()
    for _ in range(dice.between(*(level.objects or task.room.object_range)) - len(placed)):
        name = dice.weighted(names, weights) if names else LAMP
        counts[name] += 1
        if names and counts[name] <= _MOST_OF_A_KIND:
            placed.append((name, _spot(object_kinds()[name], where, "", dice)))
    return placed


def _spot(kind: ObjectKind, where: Mapping[str, list[int]], avoid: str, dice: Dice) -> int:
    """Draw a receptacle for an object, by the habits of its kind."""
    places = [place for place in kind.lies if place in where and place != avoid]
    return dice.pick(where[dice.weighted(places, [kind.lies[place] for place in places])])


def _numbered(types: Sequence[str]) -> tuple[str, ...]:
    """Name sorted entities: the numbers of a type fall, as in the original's listings."""
    left = Counter(types)
    names = []
    for kind in types:
        names.append(f"{kind} {left[kind]}")
        left[kind] -= 1
    return tuple(names)


def _compile(level: Level, task: _Task, placed: _Placed, dice: Dice) -> Game:
    """Turn a task and placed objects into a game."""
    order = sorted(range(len(task.furniture)), key=task.furniture.__getitem__)
    types = [task.furniture[position] for position in order]
    index = {position: number for number, position in enumerate(order)}
    placed = sorted(placed, key=lambda entry: entry[0])
    kinds = [object_kinds()[name] for name, _ in placed]
    places = _draw_places(level, types, dice)
    contents: list[list[int]] = [[] for _ in types]
    for item, (_, position) in enumerate(placed):
        contents[index[position]].append(item)
    return Game(
        goal=_goal(task, types, kinds, dice.pick(SENTENCES[task.type])),
        receptacles=_numbered(types),
        receptacle_places=places,
        objects=_numbered([name for name, _ in placed]),
        accepts=_accepts(types, kinds),
        traits=_traits(types, kinds, _draw_doors(level, types, dice)),
        start=Start(
            place=max(places) + 1,
            contents=tuple(map(tuple, contents)),
            object_places=tuple(1 << places[index[position]] for _, position in placed),
        ),
    )


def _draw_places(level: Level, types: Sequence[str], dice: Dice) -> tuple[int, ...]:
    """Give each receptacle a location; in full rooms neighbours may share one."""
    places: list[int] = []
    for number, kind in enumerate(types):
        is_shared = (
            level.receptacles is None
            and number > 0
            and types[number - 1] == kind
            and dice.chance(_SHARED_PLACE_PERCENT)
        )
        places.append(places[-1] if is_shared else (places[-1] + 1 if places else 0))
    return tuple(places)


def _draw_doors(level: Level, types: Sequence[str], dice: Dice) -> int:
    """Return the receptacles that have a door."""
    share = level.closed_percent / 100
    return mask_of(
        number
        for number, kind in enumerate(types)
        if kind in OPENABLE_PERCENT and dice.chance(OPENABLE_PERCENT[kind] * share)
    )


def _accepts(types: Sequence[str], kinds: Sequence[ObjectKind]) -> tuple[int, ...]:
    masks: dict[str, int] = {}
    for kind in kinds:
        if kind.name not in masks:
            masks[kind.name] = mask_of(n for n, name in enumerate(types) if name in kind.fits)
    return tuple(masks[kind.name] for kind in kinds)


def _traits(types: Sequence[str], kinds: Sequence[ObjectKind], openable: int) -> Traits:
    return Traits(
        pickupable=mask_of(n for n, kind in enumerate(kinds) if kind.is_pickupable),
        cleanable=mask_of(n for n, kind in enumerate(kinds) if kind.is_cleanable),
        heatable=mask_of(n for n, kind in enumerate(kinds) if kind.is_heatable),
        coolable=mask_of(n for n, kind in enumerate(kinds) if kind.is_coolable),
        toggleable=mask_of(n for n, kind in enumerate(kinds) if kind.is_toggleable),
        sliceable=mask_of(n for n, kind in enumerate(kinds) if kind.is_sliceable),
        knives=mask_of(n for n, kind in enumerate(kinds) if kind.is_knife),
        vessels=mask_of(n for n, kind in enumerate(kinds) if kind.is_vessel),
        openable=openable,
        sinks=mask_of(n for n, kind in enumerate(types) if kind == "sinkbasin"),
        microwaves=mask_of(n for n, kind in enumerate(types) if kind == "microwave"),
        fridges=mask_of(n for n, kind in enumerate(types) if kind == "fridge"),
    )


def _goal(task: _Task, types: Sequence[str], kinds: Sequence[ObjectKind], wording: str) -> Goal:
    return Goal(
        task.type,
        wording.format(o=task.target.name, r=task.goal),
        objects=mask_of(n for n, kind in enumerate(kinds) if kind is task.target),
        receptacles=mask_of(n for n, kind in enumerate(types) if kind == task.goal),
        lamps=mask_of(n for n, kind in enumerate(kinds) if kind.is_toggleable)
        if task.type is TaskType.LOOK
        else 0,
    )
