"""An expert that knows everything: the shortest plan among all sensible ones.

A plan fetches each wanted object, treats it if asked and delivers it, along the shortest route over
all choices of object, receptacle and lamp. An object in the way is put down first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

from agentrl.environments.alfworld.engine import Engine
from agentrl.environments.alfworld.game import NOTHING, Game, TaskType, members
from agentrl.environments.alfworld.state import State

_KEPT_PLANS = 1000
"""Of each game."""


class Planner:
    """Advises the next step of a shortest plan, whoever acts."""

    def __init__(self, engine: Engine) -> None:
        """Watch a running game."""
        self._engine = engine
        self._plan: list[str] | None = None

    def observe(self, action: str, observation: str) -> None:
        """Take note of what was done: a plan that was not followed is made anew."""
        del observation
        follows = self._plan and self._plan[0] == action.strip()
        self._plan = self._plan[1:] if self._plan and follows else None

    def act(self) -> str:
        """Return the next action; `look` when the game cannot be won any more."""
        if not self._plan:
            self._plan = plan(self._engine)
        return self._plan[0] if self._plan else "look"


def plan(engine: Engine) -> list[str] | None:
    """Return the commands that win a game from here, or None when it cannot be won.

    The plans of a game are kept with it, so that whoever comes to a situation again has its plan.
    """
    if engine.won:
        return []
    key = engine.state_key()
    known = engine.game.plans
    if key not in known:
        if len(known) >= _KEPT_PLANS:
            known.clear()
        known[key] = _make_plan(engine)
    commands = known[key]
    return list(commands) if commands is not None else None


def _make_plan(engine: Engine) -> tuple[str, ...] | None:
    solver = _Solver(engine.game, engine.state)
    best = min(solver.ways_to_win(), key=lambda way: len(way.commands), default=None)
    return best.commands if best is not None else None


@dataclass(frozen=True, slots=True)
class _Route:
    """Commands so far, and the situation that they lead to."""

    commands: tuple[str, ...]
    place: int
    opened: int

    def go(self, game: Game, receptacle: int) -> _Route:
        place = game.receptacle_places[receptacle]
        if place == self.place:
            return self
        name = game.receptacles[receptacle]
        return _Route((*self.commands, f"go to {name}"), place, self.opened)

    def reach_into(self, game: Game, receptacle: int) -> _Route:
        route = self.go(game, receptacle)
        if not game.traits.openable >> receptacle & 1 or route.opened >> receptacle & 1:
            return route
        commands = (*route.commands, f"open {game.receptacles[receptacle]}")
        return _Route(commands, route.place, route.opened | 1 << receptacle)

    def do(self, command: str) -> _Route:
        return _Route((*self.commands, command), self.place, self.opened)

    def take(self, game: Game, item: int, receptacle: int) -> _Route:
        command = f"take {game.objects[item]} from {game.receptacles[receptacle]}"
        return self.reach_into(game, receptacle).do(command)

    def put(self, game: Game, item: int, receptacle: int) -> _Route:
        command = game.phrases.put_command.format(
            o=game.objects[item], r=game.receptacles[receptacle]
        )
        return self.reach_into(game, receptacle).do(command)


@dataclass(frozen=True, slots=True)
class _Solver:
    """Lists all sensible ways to win from a situation."""

    game: Game
    state: State

    def ways_to_win(self) -> Iterator[_Route]:
        """Yield the ways to win; an object in the way is put down first."""
        held = self.state.held
        start = _Route((), self.state.place, self.state.opened)
        if held == NOTHING or self.game.goal.objects >> held & 1:
            yield from self._solve(start, held)
            return
        for way in self._put_down(start, held):
            yield from self._solve(way, NOTHING)

    def _put_down(self, route: _Route, held: int) -> Iterable[_Route]:
        """Return the shortest way to get rid of an object for each place where it can end."""
        fits = members(self.game.accepts[held])
        ways = [route.put(self.game, held, receptacle) for receptacle in fits]
        best: dict[int, _Route] = {}
        for way in sorted(ways, key=lambda way: len(way.commands)):
            best.setdefault(way.place, way)
        return best.values()

    def _solve(self, route: _Route, held: int) -> Iterator[_Route]:
        """Yield the ways to win with empty hands or a wanted object in them."""
        goal = self.game.goal
        if goal.task_type is TaskType.LOOK:
            yield from self._bring_to_light(route, held)
            return
        for receptacle in members(goal.receptacles):
            for items in self._choices(held, receptacle):
                yield from self._deliver(route, held, items, receptacle)
                if len(items) == 1:
                    yield from self._treat_only(route, held, items[0], receptacle)

    def _choices(self, held: int, receptacle: int) -> Iterator[tuple[int, ...]]:
        """Yield which objects could be brought to a receptacle, in which order."""
        wanted = [held] if held != NOTHING else []
        takeable = members(self.game.goal.objects & self.game.traits.pickupable)
        wanted += [item for item in takeable if item != held]
        if self.game.goal.task_type is not TaskType.TWO:
            yield from ((item,) for item in wanted if held in (NOTHING, item))
            return
        inside = self.state.contents[receptacle]
        missing = 2 - sum(item in inside for item in wanted)
        outside = [item for item in wanted if item not in inside]
        for items in permutations(outside, max(missing, 0)):
            if held in (NOTHING, items[0]):
                yield items

    def _deliver(
        self, route: _Route, held: int, items: tuple[int, ...], receptacle: int
    ) -> Iterable[_Route]:
        """Return the ways to bring objects to a receptacle, one after the other."""
        routes = [route]
        for item in items:
            if not self.game.accepts[item] >> receptacle & 1:
                return []
            fetched = routes if item == held else self._fetch(routes, item)
            treated = [way for each in fetched for way in self._treat(each, item)]
            routes = [way.put(self.game, item, receptacle) for way in treated]
        return routes

    def _treat_only(self, route: _Route, held: int, item: int, receptacle: int) -> Iterator[_Route]:
        """Treat an object that is in a second receptacle, the right one, at the same time.

        Some official games put an object into two receptacles; taking it from one leaves it in the
        other, and treating it in the hand is enough.
        """
        if item not in self.state.contents[receptacle]:
            return
        for way in [route] if item == held else self._fetch([route], item, avoid=receptacle):
            yield from self._treat(way, item)

    def _fetch(self, routes: Iterable[_Route], item: int, *, avoid: int = NOTHING) -> list[_Route]:
        """Take an object from wherever it is."""
        contents = enumerate(self.state.contents)
        sources = [number for number, inside in contents if item in inside and number != avoid]
        return [route.take(self.game, item, source) for route in routes for source in sources]

    def _treat(self, route: _Route, item: int) -> list[_Route]:
        """Clean, heat or cool an object where the goal asks for it."""
        game, state = self.game, self.state
        verb, done, appliances = {
            TaskType.CLEAN: ("clean", state.clean, game.traits.sinks),
            TaskType.HEAT: ("heat", state.hot, game.traits.microwaves),
            TaskType.COOL: ("cool", state.cool, game.traits.fridges),
        }.get(game.goal.task_type, ("", -1, 0))
        if done >> item & 1:
            return [route]
        return [
            route.go(game, place).do(f"{verb} {game.objects[item]} with {game.receptacles[place]}")
            for place in members(appliances)
        ]

    def _bring_to_light(self, route: _Route, held: int) -> Iterator[_Route]:
        """Bring a wanted object to a lamp and switch it on."""
        goal, pickupable = self.game.goal, self.game.traits.pickupable
        items = [held] if held != NOTHING else members(goal.objects & pickupable)
        for item in items:
            for way in [route] if item == held else self._fetch([route], item):
                for number, inside in enumerate(self.state.contents):
                    for lamp in inside:
                        if goal.lamps >> lamp & 1:
                            yield self._switch_on(way.go(self.game, number), lamp)

    def _switch_on(self, route: _Route, lamp: int) -> _Route:
        is_lit = self.state.toggled >> lamp & 1
        return route if is_lit else route.do(f"use {self.game.objects[lamp]}")
