"""What a player can know: the goal as written and what the observations so far have said.

Nothing here looks at the game; a `Memory` is fed with (action, observation) pairs and keeps up with
whoever acts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agentrl.environments.alfworld.game import TaskType

NOTHING_HAPPENS = "Nothing happens."
_ENTITY = r"[a-z]+ \d+"
_LONGEST_COMMAND = 200
"""Characters; nothing is learned from the failure of a longer action, which is nonsense."""

_GOALS: tuple[tuple[TaskType, re.Pattern[str]], ...] = tuple(
    (task_type, re.compile(pattern))
    for task_type, pattern in (
        (TaskType.TWO, r"(?:put|find) two (\w+) (?:and put them )?(?:in|on) (\w+)"),
        (TaskType.LOOK, r"look at (\w+) under the (\w+)"),
        (TaskType.LOOK, r"examine the (\w+) with the (\w+)"),
        (TaskType.CLEAN, r"clean some (\w+) and put it (?:in|on) (\w+)"),
        (TaskType.HEAT, r"heat some (\w+) and put it (?:in|on) (\w+)"),
        (TaskType.COOL, r"cool some (\w+) and put it (?:in|on) (\w+)"),
        (TaskType.CLEAN, r"put (?:a|some) clean (\w+) (?:in|on) (\w+)"),
        (TaskType.HEAT, r"put (?:a|some) hot (\w+) (?:in|on) (\w+)"),
        (TaskType.COOL, r"put (?:a|some) cool (\w+) (?:in|on) (\w+)"),
        (TaskType.PLACE, r"put (?:a|some) (\w+) (?:in|on) (\w+)"),
    )
)
_ROOM = re.compile(r"Looking quickly around you, you see (.*?)\.\n")
_FACING = re.compile(r"^You are facing the (.*?)\. Next to it,")
_CLOSED = re.compile(rf"The ({_ENTITY}) is closed\.$")
_CONTENTS = re.compile(rf"(?:On the|The) ({_ENTITY})( is open\. In it)?, you see (.*)\.$")
_SHUT = re.compile(rf"^You close the ({_ENTITY})\.$")
_TAKEN = re.compile(rf"^You pick up the ({_ENTITY}) from the ({_ENTITY})\.$")
_PUT = re.compile(rf"^You (?:move|put) the ({_ENTITY}) (?:to|in/on) the ({_ENTITY})\.$")
_TREATED = re.compile(rf"^You (clean|heat|cool) the ({_ENTITY}) using the ({_ENTITY})\.$")
_CARRIED = re.compile(rf"^You are carrying: a ({_ENTITY})\.$")
_NAME = re.compile(_ENTITY)


@dataclass(frozen=True, slots=True)
class Wish:
    """A goal sentence, understood."""

    task_type: TaskType
    object_type: str
    goal_type: str
    """The receptacle type to put it in, or the lamp type."""


def read_goal(sentence: str) -> Wish | None:
    """Return what a goal sentence asks for, or None for an unknown wording."""
    for task_type, pattern in _GOALS:
        found = pattern.search(sentence)
        if found:
            return Wish(task_type, found[1], found[2])
    return None


def kind_of(name: str) -> str:
    """Return the type of a numbered entity: `mug 2` is a `mug`."""
    return name.partition(" ")[0]


class Memory:
    """Everything seen in one episode.

    Attributes:
        wish: The goal, or None when its wording is unknown.
        receptacles: The names of the room's receptacles.
        contents: The objects last seen in each receptacle that was looked into.
        closed: Receptacles last seen closed.
        held: The object in the hand, or None.
        treated: For each object what was done to it: `clean`, `heat`, `cool`.
        refused: (object type, receptacle type) pairs that did not fit.
        here: The receptacle last gone to, or None.
    """

    def __init__(self, introduction: str) -> None:
        """Read the first observation of an episode."""
        self.wish = read_goal(introduction.rpartition("Your task is to: ")[2])
        room = _ROOM.search(introduction)
        self.receptacles = tuple(_NAME.findall(room[1])) if room else ()
        self.contents: dict[str, set[str]] = {}
        self.closed: set[str] = set()
        self.held: str | None = None
        self.treated: dict[str, set[str]] = {}
        self.refused: set[tuple[str, str]] = set()
        self.here: str | None = None
        self._together: dict[str, set[str]] = {}
        self.observe("look", introduction.partition("\n\nYour task")[0].rpartition("\n")[2])

    def within_reach(self) -> Iterable[str]:
        """Return the receptacles known to be at the agent's location."""
        if self.here is None:
            return ()
        return self._together.get(self.here, (self.here,))

    def is_reachable(self, receptacle: str) -> bool:
        """Return whether a receptacle is known to be at the agent's location."""
        return receptacle in self.within_reach()

    def whereabouts(self, object_type: str) -> list[tuple[str, str]]:
        """Return where objects of a type were last seen, as (object, receptacle)."""
        return [
            (item, receptacle)
            for receptacle, inside in self.contents.items()
            for item in sorted(inside)
            if kind_of(item) == object_type
        ]

    def observe(self, action: str, observation: str) -> None:
        """Learn from what an action led to."""
        if observation == NOTHING_HAPPENS:
            if len(action) <= _LONGEST_COMMAND:
                self._learn_from_failure(action.strip())
            return
        self._see_place(action.strip(), observation)
        self._see_contents(observation)
        self._see_hands(observation)

    def _see_place(self, action: str, observation: str) -> None:
        if observation.startswith("You arrive at "):
            self.here = action.removeprefix("go to ")
        facing = _FACING.match(observation)
        if facing:
            names = _NAME.findall(facing[1])
            self.here = names[0]
            self._join(names)
            self.receptacles = self.receptacles or tuple(names)

    def _see_contents(self, observation: str) -> None:
        closed = _CLOSED.search(observation) or _SHUT.match(observation)
        if closed:
            self.closed.add(closed[1])
            return
        seen = _CONTENTS.search(observation)
        if seen:
            self.closed.discard(seen[1])
            self.contents[seen[1]] = set(_NAME.findall(seen[3]))

    def _see_hands(self, observation: str) -> None:
        taken, put = _TAKEN.match(observation), _PUT.match(observation)
        if taken:
            self.held = taken[1]
            self.contents.setdefault(taken[2], set()).discard(taken[1])
        elif put:
            self.held = None
            self.contents.setdefault(put[2], set()).add(put[1])
        treated = _TREATED.match(observation)
        if treated:
            self.held = treated[2]
            done = self.treated.setdefault(treated[2], set())
            done.add(treated[1])
            done.difference_update({"heat": {"cool"}, "cool": {"heat"}}.get(treated[1], ()))
        carried = _CARRIED.match(observation)
        if carried:
            self.held = carried[1]
        elif observation == "You are not carrying anything.":
            self.held = None

    def _learn_from_failure(self, action: str) -> None:
        """Draw the conclusions that a person draws when nothing happens."""
        if action.startswith("go to "):
            name = action.removeprefix("go to ")
            if name in self.receptacles and self.here and name != self.here:
                self._join([self.here, name])
        elif action.startswith(("move ", "put ")) and self.held and self.held in action:
            rest = action.partition(self.held)[2]
            for name in _NAME.findall(rest):
                if self.is_reachable(name) and name not in self.closed:
                    self.refused.add((kind_of(self.held), kind_of(name)))
        elif action.startswith("take ") and not self.held:
            names = _NAME.findall(action)
            if len(names) == 2 and self.is_reachable(names[1]):
                self.contents.get(names[1], set()).discard(names[0])

    def _join(self, names: Iterable[str]) -> None:
        """Note that receptacles stand at one location."""
        group: set[str] = set()
        for name in names:
            group |= self._together.get(name, {name})
        for name in group:
            self._together[name] = group
