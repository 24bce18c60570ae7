"""A compiled ALFWorld game: all that never changes while one room and one task are played.

Entities are plain integers. Receptacles and objects are numbered in the order in which the original
engine lists them (sorted by internal id), so every listing is a walk in ascending order. Sets of
entities are bit masks: bit `i` stands for entity `i`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

NOTHING = -1
"""Stands for "no entity": empty hands."""


class TaskType(enum.StrEnum):
    """The six kinds of task, named as in the official data."""

    PLACE = "pick_and_place_simple"
    LOOK = "look_at_obj_in_light"
    CLEAN = "pick_clean_then_place_in_recep"
    HEAT = "pick_heat_then_place_in_recep"
    COOL = "pick_cool_then_place_in_recep"
    TWO = "pick_two_obj_and_place"


@dataclass(frozen=True, slots=True)
class Goal:
    """What wins a game."""

    task_type: TaskType
    sentence: str
    """The goal as the player reads it, such as `put a hot mug in cabinet.`"""
    objects: int
    """The objects that count."""
    receptacles: int = 0
    """The receptacles that count; none for a look task."""
    lamps: int = 0
    """The lamps that count; look tasks only."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """The wordings that differ between releases of the official games."""

    put_command: str = "move {o} to {r}"
    put_feedback: str = "You move the {o} to the {r}."
    names_places: bool = False
    """Whether `You arrive at` names the location, such as `loc 7`, and not the receptacle."""
    help_text: str = (
        "Available commands:\n"
        "  look:                             look around your current location\n"
        "  inventory:                        check your current inventory\n"
        "  go to (receptacle):               move to a receptacle\n"
        "  open (receptacle):                open a receptacle\n"
        "  close (receptacle):               close a receptacle\n"
        "  take (object) from (receptacle):  take an object from a receptacle\n"
        "  move (object) to (receptacle):  place an object in or on a receptacle\n"
        "  examine (something):              examine a receptacle or an object\n"
        "  use (object):                     use an object\n"
        "  heat (object) with (receptacle):  heat an object using a receptacle\n"
        "  clean (object) with (receptacle): clean an object using a receptacle\n"
        "  cool (object) with (receptacle):  cool an object using a receptacle\n"
        "  slice (object) with (object):     slice an object using a sharp object\n"
    )
    """The answer to `help`; empty where there is no such command."""


CURRENT = Phrases()
OLDER = Phrases(
    put_command="put {o} in/on {r}",
    put_feedback="You put the {o} in/on the {r}.",
    names_places=True,
    help_text="",
)


@dataclass(frozen=True, slots=True)
class Traits:
    """Which objects and receptacles allow what, as bit masks."""

    pickupable: int = 0
    cleanable: int = 0
    heatable: int = 0
    coolable: int = 0
    toggleable: int = 0
    sliceable: int = 0
    knives: int = 0
    vessels: int = 0
    """Objects that other objects can lie in, such as bowls."""
    openable: int = 0
    """Receptacles with a door or a lid."""
    sinks: int = 0
    microwaves: int = 0
    fridges: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """The situation in which a game begins."""

    place: int
    """The agent's location."""
    contents: tuple[tuple[int, ...], ...]
    """For each receptacle the objects in it, ascending."""
    object_places: tuple[int, ...]
    """For each object the locations it is at, as a bit mask; usually one."""
    opened: int = 0
    clean: int = 0
    hot: int = 0
    cool: int = 0
    sliced: int = 0
    toggled: int = 0


@dataclass(frozen=True)
class Game:
    """One compiled game."""

    goal: Goal
    receptacles: tuple[str, ...]
    """Names such as `drawer 3`, in listing order."""
    receptacle_places: tuple[int, ...]
    """For each receptacle its location."""
    objects: tuple[str, ...]
    """Names such as `mug 2`, in listing order."""
    accepts: tuple[int, ...]
    """For each object the receptacles that can hold it."""
    traits: Traits
    start: Start
    inside: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """For a vessel the objects lying in it."""
    phrases: Phrases = CURRENT
    place_names: tuple[str, ...] = ()
    """For each location its name, where the release names locations."""
    id: str = ""
    """The game's name; a hash of its content unless the data gives one."""

    def __post_init__(self) -> None:
        """Name a game without a name by its content."""
        if not self.id:
            name = _digest((self.layout_hash, self.goal.sentence, self.phrases.put_command))
            object.__setattr__(self, "id", name)

    @cached_property
    def layout_hash(self) -> str:
        """Return a hash of all that matters for playing, whatever the wording of the goal."""
        goal = (self.goal.task_type.value, self.goal.objects, self.goal.receptacles)
        return _digest(
            (
                goal,
                self.goal.lamps,
                self.receptacles,
                self.receptacle_places,
                self.objects,
                self.accepts,
                self.traits,
                self.start,
                sorted(self.inside.items()),
            )
        )

    @cached_property
    def at_place(self) -> Mapping[int, tuple[int, ...]]:
        """Return for each location the receptacles standing there."""
        found: dict[int, tuple[int, ...]] = {}
        for receptacle, place in enumerate(self.receptacle_places):
            found[place] = (*found.get(place, ()), receptacle)
        return found

    @cached_property
    def travel(self) -> Mapping[str, int]:
        """Return the receptacle that each `go to` command leads to."""
        return {f"go to {name}": index for index, name in enumerate(self.receptacles)}

    @cached_property
    def _travel_lists(self) -> dict[int, list[str]]:
        return {}

    def travel_from(self, place: int) -> list[str]:
        """Return the `go to` commands that lead elsewhere from a location, sorted."""
        commands = self._travel_lists.get(place)
        if commands is None:
            places = self.receptacle_places
            commands = sorted(cmd for cmd, index in self.travel.items() if places[index] != place)
            self._travel_lists[place] = commands
        return commands

    @cached_property
    def plans(self) -> dict[str, tuple[str, ...] | None]:
        """Return the planner's notes: commands that win, by the key of a situation."""
        return {}

    @cached_property
    def sliceable_objects(self) -> tuple[int, ...]:
        """Return the objects that a knife can slice."""
        return tuple(members(self.traits.sliceable))


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def members(mask: int) -> Iterable[int]:
    """Yield the entities of a bit mask in ascending order."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def mask_of(entities: Iterable[int]) -> int:
    """Return the bit mask of some entities."""
    mask = 0
    for entity in entities:
        mask |= 1 << entity
    return mask


def listing(names: Sequence[str]) -> str:
    """Return names as the original lists them: `a mug 2, a mug 1, and a pan 1`."""
    if not names:
        return "nothing"
    if len(names) == 1:
        return f"a {names[0]}"
    return f"a {', a '.join(names[:-1])}, and a {names[-1]}"
