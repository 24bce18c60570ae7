"""An expert that knows everything: the shortest plan among all sensible ones.

A plan fetches each wanted object, treats it if asked and delivers it, along the shortest route over
all choices of object, receptacle and lamp. An object in the way is put down first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from agentrl.environments.alfworld.engine import Engine
from agentrl.environments.alfworld.game import NOTHING, Game, TaskType, members
from agentrl.environments.alfworld.state import State


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
    """Return the commands that win a game from here, or None when it cannot be won."""
    if engine.won:
        return []
    game, state = engine.game, engine.state
    start = _Route((), state.place, state.opened)
    held = state.held
    routes: Iterator[_Route]
    if held != NOTHING and not game.goal.objects >> held & 1:
        routes = (
            finished
            for route in _put_down(game, start, held)
            for finished in _solve(game, state, route, NOTHING)
        )
    else:
        routes = _solve(game, state, start, held)
    best = min(routes, key=lambda route: len(route.commands), default=None)
    return list(best.commands) if best is not None else None


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


def _put_down(game: Game, route: _Route, held: int) -> list[_Route]:
    """Return the shortest ways to get rid of an object, and those ending at each place."""
    ways = [route.put(game, held, receptacle) for receptacle in members(game.accepts[held])]
    ways.sort(key=lambda way: len(way.commands))
    best: dict[int, _Route] = {}
    for way in ways:
        best.setdefault(way.place, way)
    return list(best.values())


def _solve(game: Game, state: State, route: _Route, held: int) -> Iterator[_Route]:
    """Return all sensible ways to win with empty hands or a wanted object in them."""
    if game.goal.task_type is TaskType.LOOK:
        yield from _solve_look(game, state, route, held)
        return
    wanted = [held] if held != NOTHING else []
    wanted += [item for item in members(game.goal.objects & game.traits.pickupable) if item != held]
    for receptacle in members(game.goal.receptacles):
        for items in _choices(game, state, wanted, held, receptacle):
            yield from _carry(game, state, route, held, items, receptacle)
            yield from _treat_only(game, state, route, held, items, receptacle)


def _choices(
    game: Game, state: State, wanted: list[int], held: int, receptacle: int
) -> Iterator[tuple[int, ...]]:
    """Return which objects could be brought to a receptacle, in which order."""
    if game.goal.task_type is not TaskType.TWO:
        yield from ((item,) for item in wanted if held in (NOTHING, item))
        return
    inside = state.contents[receptacle]
    missing = 2 - sum(item in inside for item in wanted)
    outside = [item for item in wanted if item not in inside]
    for items in permutations(outside, max(missing, 0)):
        if held == NOTHING or held == items[0]:
            yield items


def _carry(
    game: Game, state: State, route: _Route, held: int, items: tuple[int, ...], receptacle: int
) -> Iterator[_Route]:
    """Bring objects to a receptacle one after the other."""
    routes = [route]
    for item in items:
        if not game.accepts[item] >> receptacle & 1:
            return
        fetched = routes if item == held else _fetch(game, state, routes, item)
        treated = [way for route in fetched for way in _treat(game, state, route, item)]
        routes = [way.put(game, item, receptacle) for way in treated]
    yield from routes


def _treat_only(
    game: Game, state: State, route: _Route, held: int, items: tuple[int, ...], receptacle: int
) -> Iterator[_Route]:
    """Treat an object that is in a second receptacle, the right one, at the same time.

    Some official games put an object into two receptacles; taking it from one leaves it in the
    other, and treating it in the hand is enough.
    """
    if len(items) != 1 or items[0] not in state.contents[receptacle]:
        return
    item = items[0]
    fetched = [route] if item == held else _fetch(game, state, [route], item, avoid=receptacle)
    for way in fetched:
        yield from _treat(game, state, way, item)


def _fetch(
    game: Game, state: State, routes: list[_Route], item: int, avoid: int = NOTHING
) -> list[_Route]:
    """Take an object from wherever it is."""
    sources = [
        number for number, inside in enumerate(state.contents) if item in inside and number != avoid
    ]
    return [route.take(game, item, source) for route in routes for source in sources]


def _treat(game: Game, state: State, route: _Route, item: int) -> list[_Route]:
    """Clean, heat or cool an object where the goal asks for it."""
    traits = game.traits
    verb, done, appliances = {
        TaskType.CLEAN: ("clean", state.clean, traits.sinks),
        TaskType.HEAT: ("heat", state.hot, traits.microwaves),
        TaskType.COOL: ("cool", state.cool, traits.fridges),
    }.get(game.goal.task_type, ("", -1, 0))
    if done >> item & 1:
        return [route]
    return [
        route.go(game, place).do(f"{verb} {game.objects[item]} with {game.receptacles[place]}")
        for place in members(appliances)
    ]


def _solve_look(game: Game, state: State, route: _Route, held: int) -> Iterator[_Route]:
    """Bring a wanted object to a lamp and switch it on."""
    items = [held] if held != NOTHING else members(game.goal.objects & game.traits.pickupable)
    lit = state.toggled & game.goal.lamps
    for item in items:
        for way in [route] if item == held else _fetch(game, state, [route], item):
            for number, inside in enumerate(state.contents):
                for lamp in inside:
                    if game.goal.lamps >> lamp & 1:
                        there = way.go(game, number)
                        is_lit = bool(lit >> lamp & 1)
                        yield there if is_lit else there.do(f"use {game.objects[lamp]}")
