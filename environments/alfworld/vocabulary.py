"""What households hold: ALFWorld's types of object and receptacle, what lies and fits where.

The numbers follow the habits of the official rooms (per hundred objects of a type), so that a
player who learns here where to look for an apple knows it there, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A type of object."""

    name: str
    lies: Mapping[str, int]
    """How often it is found in or on each type of receptacle."""
    fits: frozenset[str]
    """The receptacle types that accept it: at least those where it lies."""
    is_pickupable: bool
    is_cleanable: bool
    is_heatable: bool
    is_coolable: bool
    is_sliceable: bool
    is_toggleable: bool
    is_vessel: bool
    is_knife: bool


@dataclass(frozen=True, slots=True)
class Furniture:
    """How many receptacles of a type a room has."""

    receptacle: str
    chance: int
    """Percentage of rooms that have any."""
    fewest: int
    most: int


@dataclass(frozen=True, slots=True)
class RoomKind:
    """A type of room."""

    name: str
    furniture: tuple[Furniture, ...]
    objects: Mapping[str, int]
    """Expected number of objects of each type, times ten."""
    object_range: tuple[int, int]
    """Fewest and most objects in a room of official size."""


OPENABLE_PERCENT: Mapping[str, int] = {
    "cabinet": 83,
    "drawer": 84,
    "fridge": 100,
    "microwave": 100,
    "safe": 100,
}
"""How often a receptacle of a type has a door that starts closed; others are always open."""

# name, letters (see _kind), where it lies and how often | where it would fit as well
_OBJECTS = """
alarmclock p: desk 34 shelf 21 sidetable 20 dresser 17 diningtable 7 countertop 1
apple pchks: fridge 24 countertop 24 diningtable 15 microwave 13 garbagecan 12 sinkbasin 9
  sidetable 2
book p: bed 37 desk 14 drawer 10 countertop 10 dresser 6 diningtable 5 cabinet 4 sidetable 4
  armchair 3 coffeetable 3 shelf 2 sofa 2 | ottoman
bowl pckv: cabinet 30 countertop 18 fridge 17 diningtable 15 desk 6 shelf 5 sinkbasin 3 dresser
  2 microwave 2 sidetable 1 coffeetable 1
box pv: diningtable 23 sofa 22 coffeetable 20 shelf 8 sidetable 7 desk 6 dresser 4 cabinet 4
  armchair 3 tvstand 2 | ottoman
bread phks: countertop 55 diningtable 31 fridge 12 sidetable 1 | garbagecan microwave
butterknife pcn: countertop 58 diningtable 27 drawer 8 sinkbasin 6 sidetable 1
candle p: countertop 28 toilet 28 drawer 12 cabinet 12 shelf 7 sidetable 6 coffeetable 2
  diningtable 2 cart 2 dresser 1
cd p: drawer 28 desk 20 sidetable 13 dresser 13 shelf 8 garbagecan 8 diningtable 6 cabinet 2
  armchair 2 safe 1 | countertop
cellphone p: bed 22 drawer 21 desk 13 dresser 9 sidetable 9 countertop 7 shelf 6 diningtable 6
  armchair 3 safe 2 coffeetable 2 sofa 1 | ottoman
cloth pc: bathtubbasin 29 cabinet 20 countertop 16 drawer 15 sinkbasin 8 shelf 5 toilet 3 cart 2
  dresser 1 | armchair desk diningtable garbagecan laundryhamper sidetable
creditcard p: drawer 24 shelf 13 sidetable 12 dresser 9 desk 9 armchair 7 sofa 7 coffeetable 6
  diningtable 5 countertop 5 tvstand 3 | ottoman safe
cup pchkv: cabinet 23 fridge 21 countertop 21 diningtable 15 sinkbasin 9 microwave 7 shelf 2
  sidetable 2
curtains -: sidetable 100
desklamp t: sidetable 40 desk 29 dresser 21 shelf 9 coffeetable 2
dishsponge pc: countertop 25 cabinet 22 drawer 20 diningtable 12 sinkbasin 8 garbagecan 5 shelf
  3 bathtubbasin 2 sidetable 1 toilet 1 cart 1
egg pchks: fridge 25 countertop 24 garbagecan 13 sinkbasin 13 diningtable 12 microwave 12
  sidetable 1
fork pc: countertop 44 diningtable 24 drawer 22 sinkbasin 9 sidetable 2
glassbottle p: cabinet 30 countertop 27 diningtable 14 sinkbasin 10 fridge 9 garbagecan 7 shelf
  4 | microwave
handtowel p: handtowelholder 100 | bathtubbasin cabinet cart countertop drawer garbagecan shelf
  sidetable sinkbasin toilet
houseplant -: countertop 44 sidetable 16 diningtable 14 shelf 7 coffeetable 7 desk 6 dresser 4
  tvstand 1
kettle pc: stoveburner 41 countertop 26 cabinet 24 diningtable 7 sinkbasin 2 | shelf sidetable
keychain p: drawer 23 sidetable 16 desk 12 shelf 12 dresser 10 coffeetable 7 diningtable 6
  armchair 5 sofa 4 safe 3 tvstand 3 | countertop ottoman
knife pcn: countertop 49 diningtable 25 drawer 20 sinkbasin 5 sidetable 1
ladle pc: countertop 42 cabinet 24 drawer 18 diningtable 14 sinkbasin 2
laptop p: bed 47 desk 12 sofa 10 diningtable 9 coffeetable 9 dresser 5 sidetable 3 armchair 3
  tvstand 2 ottoman 1 countertop 1
lettuce pcks: countertop 41 diningtable 29 fridge 23 sinkbasin 5 garbagecan 1 sidetable 1
mirror -: countertop 82 dresser 18
mug pchkv: coffeemachine 17 cabinet 16 countertop 13 fridge 13 diningtable 10 microwave 7 desk 6
  sinkbasin 6 shelf 4 sidetable 4 dresser 3
newspaper p: sofa 20 coffeetable 18 diningtable 17 sidetable 14 shelf 11 dresser 7 armchair 7
  tvstand 3 drawer 2 ottoman 1 | cabinet garbagecan
pan pckv: countertop 40 stoveburner 40 cabinet 9 diningtable 6 fridge 5 | sidetable sinkbasin
papertowelroll p: countertop 54 garbagecan 15 diningtable 15 shelf 10 toilet 4 sidetable 2 cart
  1
pencil p: drawer 20 desk 19 sidetable 17 shelf 14 dresser 10 diningtable 8 garbagecan 6
  countertop 4 coffeetable 2
pen p: desk 22 drawer 17 dresser 14 sidetable 13 shelf 12 diningtable 10 countertop 5
  coffeetable 3 garbagecan 2 tvstand 1
peppershaker p: cabinet 33 countertop 31 diningtable 16 drawer 15 shelf 3 sidetable 2
pillow p: bed 69 sofa 25 armchair 6 | ottoman
plate pchkv: cabinet 37 countertop 27 diningtable 19 fridge 8 shelf 3 coffeetable 2 sinkbasin 2
  sidetable 1 microwave 1 | dresser
potato pchks: countertop 29 fridge 26 diningtable 16 sinkbasin 11 microwave 10 garbagecan 6
  sidetable 1
pot pckv: stoveburner 70 countertop 15 diningtable 5 fridge 5 cabinet 4 sinkbasin 1 | shelf
  sidetable
remotecontrol p: coffeetable 20 sofa 16 sidetable 13 drawer 9 diningtable 9 armchair 8 dresser 8
  tvstand 7 desk 4 shelf 3 ottoman 1 countertop 1
saltshaker p: cabinet 32 countertop 31 diningtable 18 drawer 14 shelf 3 sidetable 2
sink -: countertop 64 sinkbasin 36
soapbar pc: countertop 20 toilet 16 sinkbasin 15 cabinet 12 bathtubbasin 11 drawer 11 garbagecan
  7 shelf 4 sidetable 2 cart 1
soapbottle p: countertop 32 cabinet 28 diningtable 15 garbagecan 10 toilet 6 shelf 5 drawer 2
  sidetable 1 dresser 1 | cart
spatula pc: countertop 45 diningtable 25 drawer 21 sinkbasin 8 sidetable 1
spoon pc: countertop 37 drawer 28 diningtable 22 sinkbasin 11 sidetable 2
spraybottle p: countertop 32 toilet 23 cabinet 19 garbagecan 10 shelf 6 cart 3 diningtable 3
  sidetable 2 dresser 2 | drawer
statue p: shelf 28 coffeetable 16 diningtable 14 countertop 14 sidetable 12 dresser 7 tvstand 5
  desk 2 | safe
teddybear p: bed 100
television -: dresser 46 tvstand 42 coffeetable 9 sidetable 3
tissuebox p: shelf 18 coffeetable 15 drawer 14 countertop 13 sidetable 12 diningtable 12 desk 8
  tvstand 3 dresser 2 cart 2 cabinet 2 garbagecan 1 toilet 1
toiletpaper p: toilet 24 countertop 22 cabinet 12 toiletpaperhanger 12 drawer 11 garbagecan 9
  shelf 6 cart 2 dresser 2 sidetable 1
tomato pchks: fridge 33 countertop 30 diningtable 20 garbagecan 9 sinkbasin 7 sidetable 2 |
  microwave
towel p: towelholder 100
vase p: shelf 35 countertop 16 cabinet 15 coffeetable 9 diningtable 8 dresser 7 sidetable 6
  tvstand 3 desk 1 | safe
watch p: drawer 22 coffeetable 21 sidetable 16 diningtable 12 dresser 11 tvstand 9 shelf 7 desk
  3
wateringcan p: coffeetable 55 shelf 37 sidetable 8 | cabinet desk diningtable drawer dresser
winebottle pk: countertop 36 cabinet 25 diningtable 24 garbagecan 9 shelf 3 fridge 1 | sidetable
"""

# room: object type and ten times its expected number
_ROOM_OBJECTS = """
kitchen: peppershaker 21 dishsponge 20 egg 20 tomato 20 apple 20 soapbottle 20 potato 19
  saltshaker 19 spoon 19 fork 19 bowl 19 cup 19 mug 19 knife 19 spatula 19 plate 18 lettuce 18
  butterknife 18 bread 16 pot 15 pan 13 kettle 9 winebottle 9 ladle 7 glassbottle 5 houseplant 4
  vase 4 papertowelroll 4 statue 3 cellphone 2 creditcard 2 book 2 pen 1 pencil 1 spraybottle 1
  sink 1
livingroom: statue 22 creditcard 22 remotecontrol 19 keychain 15 vase 15 laptop 13 box 12
  newspaper 12 pillow 11 watch 11 television 7 tissuebox 7 houseplant 7 plate 6 book 4 cellphone
  4 pen 4 pencil 3 desklamp 3 candle 2 bowl 2 wateringcan 1 curtains 1
bedroom: pen 21 cellphone 21 creditcard 20 pencil 20 keychain 19 book 19 cd 18 alarmclock 18
  pillow 17 laptop 16 mug 9 desklamp 7 bowl 6 tissuebox 3 teddybear 3 houseplant 2 statue 2
  remotecontrol 2 watch 1 vase 1 box 1 mirror 1 television 1
bathroom: spraybottle 20 toiletpaper 20 cloth 19 soapbar 19 soapbottle 18 candle 18 handtowel 12
  towel 11 tissuebox 5 dishsponge 5 sink 3 papertowelroll 1 mirror 1 houseplant 1
"""

# room: receptacle type, percentage of rooms that have it, fewest-most
_FURNITURE = """
kitchen: cabinet 100 4-20 coffeemachine 100 1-1 countertop 100 1-3 diningtable 56 1-2
  drawer 97 1-12 fridge 100 1-1 garbagecan 100 1-1 microwave 100 1-1 safe 4 1-1 shelf 20 3-3
  sidetable 11 1-1 sinkbasin 100 1-1 stoveburner 100 4-4 toaster 100 1-1
livingroom: armchair 92 1-2 cabinet 16 1-8 coffeetable 82 1-2 diningtable 48 1-2 drawer 78 1-8
  dresser 39 1-1 garbagecan 100 1-1 ottoman 13 1-1 safe 3 1-1 shelf 38 1-10 sidetable 81 1-3
  sofa 100 1-2 tvstand 34 1-2 desk 4 1-1
bedroom: armchair 18 1-2 bed 100 1-2 cabinet 16 1-4 desk 70 1-2 diningtable 12 1-1 drawer 96 2-12
  dresser 45 1-2 garbagecan 100 1-1 laundryhamper 27 1-1 safe 14 1-1 shelf 70 1-8 sidetable 66 1-2
  countertop 3 1-1
bathroom: bathtubbasin 72 1-1 cabinet 43 3-5 cart 9 1-1 countertop 87 1-2 drawer 61 1-8
  dresser 10 1-1 garbagecan 100 1-1 handtowelholder 100 1-2 shelf 28 1-4 sidetable 6 1-1
  sinkbasin 100 1-2 toilet 100 1-1 toiletpaperhanger 100 1-1 towelholder 100 1-2
"""

_OBJECT_RANGE = {
    "kitchen": (28, 60),
    "livingroom": (10, 32),
    "bedroom": (14, 32),
    "bathroom": (10, 22),
}


@cache
def object_kinds() -> Mapping[str, ObjectKind]:
    """Return all types of object by name."""
    return {kind.name: kind for kind in map(_kind, _entries(_OBJECTS))}


@cache
def room_kinds() -> Mapping[str, RoomKind]:
    """Return all types of room by name."""
    objects = dict(entry.split(": ") for entry in _entries(_ROOM_OBJECTS))
    furniture = dict(entry.split(": ") for entry in _entries(_FURNITURE))
    return {
        room: RoomKind(
            room,
            tuple(_furniture(furniture[room].split())),
            _counts(objects[room].split()),
            _OBJECT_RANGE[room],
        )
        for room in objects
    }


def _entries(table: str) -> list[str]:
    """Split a table into entries; an indented line continues the one before."""
    return table.strip().replace("\n  ", " ").split("\n")


def _counts(words: list[str]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(words[::2], words[1::2], strict=True)}


def _furniture(words: list[str]) -> Iterator[Furniture]:
    for name, chance, span in zip(words[::3], words[1::3], words[2::3], strict=True):
        fewest, most = span.split("-")
        yield Furniture(name, int(chance), int(fewest), int(most))


def _kind(entry: str) -> ObjectKind:
    head, _, tail = entry.partition(": ")
    name, letters = head.split()
    lies, _, also = tail.partition(" | ")
    places = _counts(lies.split())
    return ObjectKind(
        name,
        places,
        frozenset(places).union(also.split()),
        is_pickupable="p" in letters,
        is_cleanable="c" in letters,
        is_heatable="h" in letters,
        is_coolable="k" in letters,
        is_sliceable="s" in letters,
        is_toggleable="t" in letters,
        is_vessel="v" in letters,
        is_knife="n" in letters,
    )
