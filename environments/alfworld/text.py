"""The texts that describe a situation, word for word those of the original."""

from __future__ import annotations

from agentrl.environments.alfworld.game import Game, listing
from agentrl.environments.alfworld.state import State


def describe_room(game: Game, state: State) -> str:
    """Return what the player reads first: the room, or the place when the game starts at one."""
    if state.place in game.at_place:
        return describe_place(game, state)
    return _room(listing(game.receptacles))


def describe_place(game: Game, state: State) -> str:
    """Return the answer to `look`.

    Away from all receptacles the original lists "nothing" here, unlike in the introduction.
    """
    beside = game.at_place.get(state.place)
    if not beside:
        return _room("nothing")
    facing = [game.receptacles[receptacle] for receptacle in beside]
    names = facing[0] if len(facing) == 1 else f"{', '.join(facing[:-1])}, and {facing[-1]}"
    return f"You are facing the {names}. Next to it, you see {_floor(game, state, beside)}."


def describe_receptacle(game: Game, state: State, receptacle: int) -> str:
    """Return what is in or on a receptacle."""
    name = game.receptacles[receptacle]
    if not game.traits.openable >> receptacle & 1:
        return f"On the {name}, you see {_inside(game, state, receptacle)}."
    if state.opened >> receptacle & 1:
        return f"The {name} is open. In it, you see {_inside(game, state, receptacle)}."
    return f"The {name} is closed."


def describe_object(game: Game, state: State, item: int) -> str:
    """Return the answer to `examine` for an object."""
    name = game.objects[item]
    if game.traits.vessels >> item & 1:
        inside = [game.objects[inner] for inner in game.inside.get(item, ())]
        return f"This is a normal {name}. In it, you see {listing(inside)}."
    clean, hot, cool, sliced = (
        mask >> item & 1 for mask in (state.clean, state.hot, state.cool, state.sliced)
    )
    temperature = "hot" if hot else "cool" if cool else ""
    if sliced and (clean or temperature):
        words = " and ".join(word for word in (temperature, "clean" if clean else "") if word)
        return f"This is a {words} sliced {name}."
    if clean and temperature:
        return f"This is a {temperature} and clean {name}."
    if hot or clean or cool:
        return f"This is a {'hot' if hot else 'clean' if clean else 'cold'} {name}."
    if game.traits.toggleable >> item & state.toggled >> item & 1:
        return f"This {name} is on."
    if sliced and game.traits.sliceable >> item & 1:
        return f"This is a sliced {name}."
    return f"There's nothing special about {name}."


def _room(seen: str) -> str:
    return f"You are in the middle of a room. Looking quickly around you, you see {seen}."


def _inside(game: Game, state: State, receptacle: int) -> str:
    return listing([game.objects[item] for item in state.contents[receptacle]])


def _floor(game: Game, state: State, beside: tuple[int, ...]) -> str:
    """Return the objects here that are known not to be in a receptacle here."""
    pairs = sorted(
        (item, receptacle)
        for item, receptacle in state.taken_from
        if receptacle in beside and state.object_places[item] >> state.place & 1
    )
    return listing([game.objects[item] for item, _ in pairs])
