"""The game engine: twelve actions over integers, with the original's texts and command lists.

Actions that do not change anything still answer; a command that is not admissible, to the letter,
answers "Nothing happens.".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from agentrl.environments.alfworld.game import NOTHING, Game, listing
from agentrl.environments.alfworld.state import State, is_won
from agentrl.environments.alfworld.text import (
    describe_object,
    describe_place,
    describe_receptacle,
    describe_room,
)

NOTHING_HAPPENS = "Nothing happens."
BANNER = "-= Welcome to TextWorld, ALFRED! =-"


class Verb(IntEnum):
    """What a command does."""

    LOOK = 0
    INVENTORY = 1
    HELP = 2
    GO = 3
    EXAMINE_RECEPTACLE = 4
    EXAMINE_OBJECT = 5
    OPEN = 6
    CLOSE = 7
    TAKE = 8
    PUT = 9
    CLEAN = 10
    HEAT = 11
    COOL = 12
    USE = 13
    SLICE = 14


Command = tuple[Verb, int, int]
"""A verb, the object it is about and the receptacle (for `SLICE` the knife)."""

_ALWAYS: Mapping[str, Command] = {
    "help": (Verb.HELP, NOTHING, NOTHING),
    "inventory": (Verb.INVENTORY, NOTHING, NOTHING),
    "look": (Verb.LOOK, NOTHING, NOTHING),
}


class Engine:
    """One game being played.

    Attributes:
        game: The compiled game; may be shared between engines.
        state: The situation now; replace it as a whole by `restore`, never edit it.
        won: Whether the goal is fulfilled.
    """

    def __init__(self, game: Game) -> None:
        """Start a game."""
        self.reset(game)

    def reset(self, game: Game) -> None:
        """Start a game from the beginning."""
        self.game = game
        self.state = State.begin(game.start)
        self.won = is_won(game, self.state)
        self._local: dict[str, Command] | None = None
        self._admissible: list[str] | None = None
        self._layout: str | None = None

    def introduction(self) -> str:
        """Return the text that begins an episode: the room and the task."""
        room = describe_room(self.game, State.begin(self.game.start))
        return f"{BANNER}\n\n{room}\n\nYour task is to: {self.game.goal.sentence}"

    @property
    def score(self) -> int:
        """Return 1 when the goal is fulfilled and 0 otherwise."""
        return int(self.won)

    def step(self, command: str) -> str:
        """Carry out a command and return the feedback."""
        meaning = self.understand(command)
        return NOTHING_HAPPENS if meaning is None else self.perform(meaning)

    def understand(self, command: str) -> Command | None:
        """Return what a command means here, or None when it is not admissible."""
        command = command.strip()
        target = self.game.travel.get(command)
        if target is not None:
            is_here = self.game.receptacle_places[target] == self.state.place
            return None if is_here else (Verb.GO, NOTHING, target)
        if command == "help" and not self.game.phrases.help_text:
            return None
        return _ALWAYS.get(command) or self._commands_here().get(command)

    def admissible(self) -> list[str]:
        """Return all commands that mean something now, sorted; do not edit the list."""
        if self._admissible is None:
            self._admissible = self._sorted_commands()
        return self._admissible

    def snapshot(self) -> tuple[Game, State]:
        """Return a value from which `restore` brings this situation back."""
        return self.game, self.state.copy()

    def restore(self, snapshot: tuple[Game, State]) -> None:
        """Go back to a situation."""
        self.game, state = snapshot
        self.state = state.copy()
        self.won = is_won(self.game, self.state)
        self._local = self._admissible = self._layout = None

    def state_key(self) -> str:
        """Return text that is equal exactly when the game and the situation are equal."""
        if self._layout is None:
            self._layout = self.state.layout()
        return self.state.key(self.game.id, self._layout)

    def _sorted_commands(self) -> list[str]:
        """Merge the commands that hold everywhere with those that depend on the situation."""
        before: list[str] = []
        after: list[str] = []
        for command in self._commands_here():
            (before if command < "go to" else after).append(command)
        after += _ALWAYS if self.game.phrases.help_text else _ALWAYS.keys() - {"help"}
        before.sort()
        after.sort()
        return [*before, *self.game.travel_from(self.state.place), *after]

    def _commands_here(self) -> dict[str, Command]:
        """Return the commands about things within reach."""
        if self._local is not None:
            return self._local
        game, state = self.game, self.state
        found: dict[str, Command] = {}
        for receptacle in game.at_place.get(state.place, ()):
            self._add_receptacle(found, receptacle)
        if state.held != NOTHING:
            name = game.objects[state.held]
            found[f"examine {name}"] = (Verb.EXAMINE_OBJECT, state.held, NOTHING)
            if game.traits.knives >> state.held & 1:
                self._add_slices(found)
        self._local = found
        return found

    def _add_receptacle(self, found: dict[str, Command], receptacle: int) -> None:
        """Add the commands about one receptacle within reach."""
        game, state, traits = self.game, self.state, self.game.traits
        name = game.receptacles[receptacle]
        found[f"examine {name}"] = (Verb.EXAMINE_RECEPTACLE, NOTHING, receptacle)
        is_accessible = True
        if traits.openable >> receptacle & 1:
            is_accessible = bool(state.opened >> receptacle & 1)
            if is_accessible:
                found[f"close {name}"] = (Verb.CLOSE, NOTHING, receptacle)
            else:
                found[f"open {name}"] = (Verb.OPEN, NOTHING, receptacle)
        objects = game.objects
        held = state.held
        for item in state.contents[receptacle]:
            if held == NOTHING and is_accessible and traits.pickupable >> item & 1:
                found[f"take {objects[item]} from {name}"] = (Verb.TAKE, item, receptacle)
            if traits.toggleable >> item & 1:
                found[f"use {objects[item]}"] = (Verb.USE, item, receptacle)
        if held == NOTHING:
            return
        if is_accessible and game.accepts[held] >> receptacle & 1:
            command = game.phrases.put_command.format(o=objects[held], r=name)
            found[command] = (Verb.PUT, held, receptacle)
        if traits.sinks >> receptacle & traits.cleanable >> held & 1:
            found[f"clean {objects[held]} with {name}"] = (Verb.CLEAN, held, receptacle)
        if traits.microwaves >> receptacle & traits.heatable >> held & 1:
            found[f"heat {objects[held]} with {name}"] = (Verb.HEAT, held, receptacle)
        if traits.fridges >> receptacle & traits.coolable >> held & 1:
            found[f"cool {objects[held]} with {name}"] = (Verb.COOL, held, receptacle)

    def _add_slices(self, found: dict[str, Command]) -> None:
        """Add what the held knife can slice."""
        game, state = self.game, self.state
        knife = game.objects[state.held]
        for item in game.sliceable_objects:
            if state.object_places[item] >> state.place & 1:
                found[f"slice {game.objects[item]} with {knife}"] = (Verb.SLICE, item, state.held)

    def perform(self, meaning: Command) -> str:
        """Carry out an admissible command, given by its meaning, and return the feedback."""
        verb, item, receptacle = meaning
        if verb <= Verb.HELP or verb in (Verb.EXAMINE_RECEPTACLE, Verb.EXAMINE_OBJECT):
            return self._observe(verb, item, receptacle)
        self._local = self._admissible = None
        if verb <= Verb.CLOSE:
            feedback = self._move_about(verb, receptacle)
        elif verb <= Verb.PUT:
            feedback = self._move_object(verb, item, receptacle)
        else:
            feedback = self._change_object(verb, item, receptacle)
        self.won = is_won(self.game, self.state)
        return feedback

    def _observe(self, verb: Verb, item: int, receptacle: int) -> str:
        game, state = self.game, self.state
        if verb is Verb.LOOK:
            return describe_place(game, state)
        if verb is Verb.HELP:
            return game.phrases.help_text
        if verb is Verb.EXAMINE_RECEPTACLE:
            return describe_receptacle(game, state, receptacle)
        if verb is Verb.EXAMINE_OBJECT:
            return describe_object(game, state, item)
        if state.held == NOTHING:
            return "You are not carrying anything."
        return f"You are carrying: {listing([game.objects[state.held]])}."

    def _move_about(self, verb: Verb, receptacle: int) -> str:
        game, state = self.game, self.state
        name = game.receptacles[receptacle]
        if verb is Verb.GO:
            state.place = game.receptacle_places[receptacle]
            where = game.place_names[state.place] if game.phrases.names_places else name
            return f"You arrive at {where}. {describe_receptacle(game, state, receptacle)}"
        if verb is Verb.OPEN:
            state.opened |= 1 << receptacle
            return f"You open the {name}. {describe_receptacle(game, state, receptacle)}"
        state.opened &= ~(1 << receptacle)
        return f"You close the {name}."

    def _move_object(self, verb: Verb, item: int, receptacle: int) -> str:
        game, state = self.game, self.state
        self._layout = None
        here = 1 << state.place
        inside = state.contents[receptacle]
        if verb is Verb.TAKE:
            state.contents[receptacle] = tuple(other for other in inside if other != item)
            state.object_places[item] &= ~here
            state.taken_from |= {(item, receptacle)}
            state.held = item
            return f"You pick up the {game.objects[item]} from the {game.receptacles[receptacle]}."
        state.contents[receptacle] = tuple(sorted({*inside, item}))
        state.object_places[item] |= here
        state.taken_from -= {(item, receptacle)}
        state.held = NOTHING
        return game.phrases.put_feedback.format(
            o=game.objects[item], r=game.receptacles[receptacle]
        )

    def _change_object(self, verb: Verb, item: int, receptacle: int) -> str:
        game, state = self.game, self.state
        name, bit = game.objects[item], 1 << item
        if verb is Verb.USE:
            state.toggled |= bit
            return f"You turn on the {name}."
        if verb is Verb.SLICE:
            state.sliced |= bit
            return f"You sliced the {name} with the {game.objects[receptacle]}."
        if verb is Verb.CLEAN:
            state.clean |= bit
        elif verb is Verb.HEAT:
            state.hot |= bit
            state.cool &= ~bit
        else:
            state.cool |= bit
            state.hot &= ~bit
        return f"You {verb.name.lower()} the {name} using the {game.receptacles[receptacle]}."
