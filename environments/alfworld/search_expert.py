"""An expert that plays like a person: it searches plausible places and remembers what it saw.

It is fed with every (action, observation) pair, whoever acted, so it can be asked for advice at any
point of anybody's episode. It never looks at the game itself.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from agentrl.environments.alfworld.game import CURRENT, Phrases, TaskType
from agentrl.environments.alfworld.memory import Memory, kind_of
from agentrl.environments.alfworld.vocabulary import object_kinds

_TREATMENTS = {
    TaskType.CLEAN: ("clean", "sinkbasin"),
    TaskType.HEAT: ("heat", "microwave"),
    TaskType.COOL: ("cool", "fridge"),
}
_LEAST_PLAUSIBLE = 0.02
_SHARPNESS = 2.0


class RandomStream(Protocol):
    """The part of a numpy `Generator` that the expert uses."""

    def random(self) -> float:
        """Return a number from 0 to 1."""
        ...


class SearchExpert:
    """Advises what to do next, knowing only what has been seen."""

    def __init__(self, introduction: str, rng: RandomStream, *, phrases: Phrases = CURRENT) -> None:
        """Start an episode.

        Args:
            introduction: The first observation.
            rng: Where the randomness in the order of search comes from.
            phrases: The wordings of the game's release.
        """
        self.memory = Memory(introduction)
        self._rng = rng
        self._phrases = phrases
        self._advice: str | None = None
        self._destination: str | None = None

    def observe(self, action: str, observation: str) -> None:
        """Take note of what somebody's action led to."""
        self.memory.observe(action, observation)
        self._advice = None

    def act(self) -> str:
        """Return the next action; the same one until something new is observed."""
        if self._advice is None:
            self._advice = self._decide()
        return self._advice

    def copy(self, rng: RandomStream) -> SearchExpert:
        """Return an independent expert that has seen the same."""
        twin = copy.copy(self)
        twin.memory = copy.deepcopy(self.memory)
        twin._rng = rng
        return twin

    def _decide(self) -> str:
        wish, held = self.memory.wish, self.memory.held
        if wish is None or not self.memory.receptacles:
            return "look"
        if held is not None and kind_of(held) != wish.object_type:
            return self._put_away(held)
        if wish.task_type is TaskType.LOOK:
            return self._fetch() if held is None else self._find_light(held)
        if held is None:
            return self._fetch()
        return self._treat(held) or self._deliver(held)

    def _fetch(self) -> str:
        """Get hold of an object that is still wanted."""
        memory, wish = self.memory, self.memory.wish
        assert wish is not None
        delivered: set[str] = set()
        if wish.task_type is TaskType.TWO:
            delivered = memory.contents.get(self._choose_destination(), set())
        known = [
            (item, receptacle)
            for item, receptacle in memory.whereabouts(wish.object_type)
            if item not in delivered
        ]
        if not known:
            return self._search(wish.object_type)
        known.sort(key=lambda pair: not memory.is_reachable(pair[1]))
        item, receptacle = known[0]
        return self._approach(receptacle) or f"take {item} from {receptacle}"

    def _treat(self, held: str) -> str | None:
        """Clean, heat or cool the held object if that is still to do."""
        assert self.memory.wish is not None
        treatment = _TREATMENTS.get(self.memory.wish.task_type)
        if treatment is None or treatment[0] in self.memory.treated.get(held, ()):
            return None
        verb, appliance = treatment
        places = [name for name in self.memory.receptacles if kind_of(name) == appliance]
        if not places:
            return None
        place = next(filter(self.memory.is_reachable, places), places[-1])
        if not self.memory.is_reachable(place):
            return f"go to {place}"
        return f"{verb} {held} with {place}"

    def _deliver(self, held: str) -> str:
        """Put the held object where it is wanted."""
        receptacle = self._choose_destination()
        if not receptacle:
            return "look"
        return self._approach(receptacle) or self._put(held, receptacle)

    def _find_light(self, held: str) -> str:
        """Bring the held object to a lamp and switch it on."""
        assert self.memory.wish is not None
        lamps = self.memory.whereabouts(self.memory.wish.goal_type)
        if not lamps:
            return self._search(self.memory.wish.goal_type)
        lamps.sort(key=lambda pair: not self.memory.is_reachable(pair[1]))
        lamp, receptacle = lamps[0]
        if not self.memory.is_reachable(receptacle):
            return f"go to {receptacle}"
        return f"use {lamp}"

    def _put_away(self, held: str) -> str:
        """Put down an object that is of no use."""
        kind = object_kinds().get(kind_of(held))
        fits = [
            name
            for name in self.memory.receptacles
            if (kind_of(held), kind_of(name)) not in self.memory.refused
            and (kind is None or kind_of(name) in kind.fits)
        ]
        if not fits:
            return self._pick(self.memory.receptacles)
        fits.sort(key=lambda name: (not self.memory.is_reachable(name), name in self.memory.closed))
        return self._approach(fits[0]) or self._put(held, fits[0])

    def _put(self, held: str, receptacle: str) -> str:
        return self._phrases.put_command.format(o=held, r=receptacle)

    def _choose_destination(self) -> str:
        """Return the receptacle to deliver to, and stay with it."""
        wish = self.memory.wish
        assert wish is not None
        places = [name for name in self.memory.receptacles if kind_of(name) == wish.goal_type]
        counts = Counter(place for _, place in self.memory.whereabouts(wish.object_type))
        if wish.task_type is TaskType.TWO and any(counts[place] for place in places):
            self._destination = max(places, key=lambda place: counts[place])
        elif self._destination is None and places:
            self._destination = min(places, key=self._effort)
        return self._destination or ""

    def _effort(self, place: str) -> tuple[bool, bool, bool]:
        """Order destinations: within reach first, then places known to be open."""
        memory = self.memory
        return not memory.is_reachable(place), place in memory.closed, place not in memory.contents

    def _approach(self, receptacle: str) -> str | None:
        """Return the action that is missing until a receptacle can be used, if any."""
        if not self.memory.is_reachable(receptacle):
            return f"go to {receptacle}"
        if receptacle in self.memory.closed:
            return f"open {receptacle}"
        return None if receptacle in self.memory.contents else f"examine {receptacle}"

    def _search(self, object_type: str) -> str:
        """Look into the next place where an object of some type may be."""
        memory = self.memory
        unseen = [name for name in memory.receptacles if name not in memory.contents]
        if not unseen:
            memory.contents.clear()
            unseen = list(memory.receptacles)
        weights = self._plausibility(object_type, unseen)
        here = [name for name in unseen if memory.is_reachable(name)]
        worthwhile = [name for name in here if weights[name] > _LEAST_PLAUSIBLE or len(unseen) < 4]
        place = self._weighted(weights, worthwhile or unseen)
        return self._approach(place) or "look"

    def _plausibility(self, object_type: str, places: Iterable[str]) -> dict[str, float]:
        """Return how likely an object of some type is in each place, before looking."""
        kind = object_kinds().get(object_type)
        number = Counter(kind_of(name) for name in self.memory.receptacles)
        return {
            name: _LEAST_PLAUSIBLE
            + (kind.lies.get(kind_of(name), 0) / number[kind_of(name)] if kind else 0.0)
            for name in places
        }

    def _weighted(self, weights: dict[str, float], places: list[str]) -> str:
        """Draw a place, plausible ones much more often."""
        chances = [weights[place] ** _SHARPNESS for place in places]
        left = self._rng.random() * sum(chances)
        for place, chance in zip(places, chances, strict=True):
            left -= chance
            if left < 0:
                return place
        return places[-1]

    def _pick(self, places: Iterable[str]) -> str:
        """Go anywhere else."""
        others = [place for place in places if not self.memory.is_reachable(place)]
        if not others:
            return "look"
        return f"go to {others[int(self._rng.random() * len(others))]}"
