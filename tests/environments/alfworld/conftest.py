from __future__ import annotations

import json
import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentrl.environments.alfworld.game import CURRENT, Game, Phrases
from agentrl.environments.alfworld.parse import parse_game

Rows = Callable[[str], Iterator[dict[str, Any]]]
MakeGame = Callable[..., Game]

KITCHEN = """
(define (problem kitchen)
(:domain alfred)
(:objects agent1 - agent
  loc_bar_1 loc_bar_2 loc_bar_3 loc_bar_4 loc_bar_5 loc_bar_9 - location
  Cabinet_bar_1 Cabinet_bar_2 CounterTop_bar_1 Fridge_bar_1 Microwave_bar_1 - receptacle
  Sink_bar_1_bar_SinkBasin - receptacle
  CabinetType CounterTopType FridgeType MicrowaveType SinkBasinType - rtype
  Apple_bar_1 Apple_bar_2 Knife_bar_1 Bowl_bar_1 DeskLamp_bar_1 Egg_bar_1 - object
  AppleType KnifeType BowlType DeskLampType EggType - otype
)
(:init
  (atLocation agent1 loc_bar_9)
  (receptacleType Cabinet_bar_1 CabinetType) (receptacleAtLocation Cabinet_bar_1 loc_bar_1)
  (receptacleType Cabinet_bar_2 CabinetType) (receptacleAtLocation Cabinet_bar_2 loc_bar_1)
  (receptacleType CounterTop_bar_1 CounterTopType)
  (receptacleAtLocation CounterTop_bar_1 loc_bar_2)
  (receptacleType Fridge_bar_1 FridgeType) (receptacleAtLocation Fridge_bar_1 loc_bar_3)
  (receptacleType Microwave_bar_1 MicrowaveType) (receptacleAtLocation Microwave_bar_1 loc_bar_4)
  (receptacleType Sink_bar_1_bar_SinkBasin SinkBasinType)
  (receptacleAtLocation Sink_bar_1_bar_SinkBasin loc_bar_5)
  (openable Cabinet_bar_1) (openable Fridge_bar_1) (openable Microwave_bar_1)
  (objectType Apple_bar_1 AppleType) (objectType Apple_bar_2 AppleType)
  (objectType Knife_bar_1 KnifeType) (objectType Bowl_bar_1 BowlType)
  (objectType DeskLamp_bar_1 DeskLampType) (objectType Egg_bar_1 EggType)
  (pickupable Apple_bar_1) (pickupable Apple_bar_2) (pickupable Knife_bar_1)
  (pickupable Bowl_bar_1) (pickupable Egg_bar_1)
  (cleanable Apple_bar_1) (heatable Apple_bar_1) (coolable Apple_bar_1) (sliceable Apple_bar_1)
  (cleanable Apple_bar_2) (heatable Apple_bar_2) (coolable Apple_bar_2) (sliceable Apple_bar_2)
  (toggleable DeskLamp_bar_1) (isReceptacleObject Bowl_bar_1)
  (inReceptacle Apple_bar_1 CounterTop_bar_1) (objectAtLocation Apple_bar_1 loc_bar_2)
  (inReceptacle Apple_bar_2 Fridge_bar_1) (objectAtLocation Apple_bar_2 loc_bar_3)
  (inReceptacle Knife_bar_1 CounterTop_bar_1) (objectAtLocation Knife_bar_1 loc_bar_2)
  (inReceptacle Bowl_bar_1 Cabinet_bar_2) (objectAtLocation Bowl_bar_1 loc_bar_1)
  (inReceptacle Egg_bar_1 Cabinet_bar_2) (objectAtLocation Egg_bar_1 loc_bar_1)
  (inReceptacleObject Egg_bar_1 Bowl_bar_1)
  (inReceptacle DeskLamp_bar_1 CounterTop_bar_1) (objectAtLocation DeskLamp_bar_1 loc_bar_2)
  (canContain CabinetType BowlType) (canContain CounterTopType AppleType)
  (canContain CounterTopType KnifeType) (canContain FridgeType AppleType)
  (canContain CounterTopType BowlType)
)
(:goal @@GOAL@@)
)
"""

HEAT_GOAL = """
(and (exists (?r - receptacle) (exists (?o - object) (and (heatable ?o) (objectType ?o AppleType)
  (receptacleType ?r FridgeType) (isHot ?o) (inReceptacle ?o ?r)))))
"""
LOOK_GOAL = """
(and (exists (?ot - object ?r - receptacle ?a - agent ?l - location)
  (and (objectType ?ot DeskLampType) (toggleable ?ot) (isToggled ?ot) (receptacleAtLocation ?r ?l)
  (atLocation ?a ?l) (inReceptacle ?ot ?r)))
 (exists (?o - object ?a - agent) (and (objectType ?o BowlType) (holds ?a ?o))))
"""
TWO_GOAL = """
(and (exists (?r - receptacle) (exists (?o1 - object) (and (objectType ?o1 AppleType)
  (receptacleType ?r CounterTopType) (inReceptacle ?o1 ?r) (exists (?o2 - object)
  (and (not (= ?o1 ?o2)) (objectType ?o2 AppleType) (receptacleType ?r CounterTopType)
  (inReceptacle ?o2 ?r)))))))
"""
GOALS = {
    "heat": (HEAT_GOAL, "put a hot apple in fridge."),
    "look": (LOOK_GOAL, "examine the bowl with the desklamp."),
    "two": (TWO_GOAL, "put two apple in countertop."),
}


@pytest.fixture
def problem() -> Callable[[str], str]:
    """The PDDL of a tiny kitchen, by goal."""
    return lambda goal: KITCHEN.replace("@@GOAL@@", GOALS[goal][0])


@pytest.fixture
def kitchen(problem: Callable[[str], str]) -> MakeGame:
    """The tiny kitchen, compiled, by goal."""

    def make(goal: str = "heat", phrases: Phrases = CURRENT) -> Game:
        return parse_game(problem(goal), GOALS[goal][1], phrases=phrases)

    return make


@pytest.fixture(scope="session")
def official_rows() -> Rows:
    """Rows of the official data files, by file name; skips where there are no data."""
    folder = Path(os.environ.get("AGENTRL_DATA", "")) / "alfworld"
    if not (folder / "valid_seen.jsonl.xz").is_file():
        pytest.skip("needs AGENTRL_DATA with the official ALFWorld games")

    def rows(name: str) -> Iterator[dict[str, Any]]:
        with lzma.open(folder / f"{name}.jsonl.xz", "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    return rows
