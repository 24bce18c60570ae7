"""The situation of a running game: what actions change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from agentrl.environments.alfworld.game import NOTHING, Game, Start, TaskType, members


@dataclass(slots=True)
class State:
    """Where everything is now; entity sets are bit masks (see `game`)."""

    place: int
    held: int
    contents: list[tuple[int, ...]]
    object_places: list[int]
    opened: int
    clean: int
    hot: int
    cool: int
    sliced: int
    toggled: int
    taken_from: frozenset[tuple[int, int]] = frozenset()
    """(object, receptacle) pairs of objects that left a receptacle and never came back.

    The original engine knows that an object is *not* in a receptacle only once it was taken from
    it; what `look` shows beside the agent depends on this.
    """

    @classmethod
    def begin(cls, start: Start) -> State:
        """Return the first state of a game."""
        return cls(
            start.place,
            NOTHING,
            list(start.contents),
            list(start.object_places),
            start.opened,
            start.clean,
            start.hot,
            start.cool,
            start.sliced,
            start.toggled,
        )

    def copy(self) -> State:
        """Return an independent copy."""
        return State(
            self.place,
            self.held,
            self.contents.copy(),
            self.object_places.copy(),
            self.opened,
            self.clean,
            self.hot,
            self.cool,
            self.sliced,
            self.toggled,
            self.taken_from,
        )

    def layout(self) -> str:
        """Return where all objects are, as text."""
        return f"{self.contents}{self.object_places}"

    def key(self, game_id: str, layout: str) -> str:
        """Return text that is equal exactly when the situation in a game is equal.

        Args:
            game_id: The game.
            layout: What `layout` returns; only taking and putting objects changes it.
        """
        situation = (
            f"{game_id}|{self.place}|{self.held}|{self.opened}|{self.clean}|{self.hot}|{self.cool}|"
            f"{self.sliced}|{self.toggled}|{layout}"
        )
        return hashlib.blake2b(situation.encode(), digest_size=12).hexdigest()


def is_won(game: Game, state: State) -> bool:
    """Return whether a state fulfils the goal of its game."""
    goal = game.goal
    if goal.task_type is TaskType.LOOK:
        return _is_lit(game, state)
    wanted = goal.objects
    if goal.task_type is TaskType.CLEAN:
        wanted &= state.clean
    elif goal.task_type is TaskType.HEAT:
        wanted &= state.hot
    elif goal.task_type is TaskType.COOL:
        wanted &= state.cool
    needed = 2 if goal.task_type is TaskType.TWO else 1
    for receptacle in members(goal.receptacles):
        found = 0
        for item in state.contents[receptacle]:
            found += wanted >> item & 1
        if found >= needed:
            return True
    return False


def _is_lit(game: Game, state: State) -> bool:
    """Return whether a wanted object is held beside a lamp that was switched on."""
    if state.held == NOTHING or not game.goal.objects >> state.held & 1:
        return False
    lit = game.goal.lamps & state.toggled
    if not lit:
        return False
    beside = game.at_place.get(state.place, ())
    return any(lit >> item & 1 for receptacle in beside for item in state.contents[receptacle])
