"""Makes games with TextWorld's own generators; runs in the builder's process only.

Two of TextWorld's habits are changed for speed, neither of which changes a game: the rules of a
challenge are parsed once and not once a game, and a draft (which is only asked for its content)
leaves out the walkthrough, for whose sake a game would be compiled and played.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import textworld
from textworld.challenges import CHALLENGES
from textworld.generator import GameMaker, KnowledgeBase, compile_game, make_game
from textworld.generator.inform7 import Inform7Game

from agentrl.environments.textworld.challenges import Recipe

_PARTS = ("map", "objects", "quest", "grammar")
_MOST_SEEDS = 65635
"""As many seeds of each part as TextWorld itself draws from."""


def generate(recipe: Recipe, seed: str, split: str) -> Any:
    """Return the game that a recipe gives with a seed.

    Args:
        recipe: The challenge and its parameters.
        seed: Any text; each of the generator's four parts gets a number drawn from it.
        split: Decides the foods where the recipe says so.
    """
    textworld.g_rng.set_seed(_draw(f"{seed}/rest"))
    options = textworld.GameOptions()
    options.seeds = {part: _draw(f"{seed}/{part}") for part in _PARTS}
    goal = dict(recipe.parameters).get("goal", "detailed")
    options.grammar.only_last_action = goal == "brief" and recipe.challenge != "simple"
    if recipe.challenge == "custom":
        game = _make_custom(recipe, options)
    else:
        game = CHALLENGES[f"tw-{recipe.challenge}"][1](_settings(recipe, split), options)
    if goal == "none":
        game.objective = ""
    return game


def content_of(game: Any) -> str:
    """Return the hash of a game's map, things and quests by name (16 hex digits).

    How rooms, things and the goal are described does not count.
    """
    names = Inform7Game(game).get_human_readable_fact
    facts = sorted(str(names(fact)) for fact in game.world.facts)
    quests = [
        [quest.reward, *(sorted(_conditions(events, names)) for events in _events(quest))]
        for quest in game.quests
    ]
    return hashlib.sha256(json.dumps([facts, quests]).encode()).hexdigest()[:16]


def compile_into(game: Any, folder: Path) -> None:
    """Write `game.z8` and `game.json` into a folder."""
    options = textworld.GameOptions()
    options.path = str(folder / "game.z8")
    options.force_recompile = True
    compile_game(game, options)
    for leftover in folder.glob("game.ni"):
        leftover.unlink()


@contextmanager
def drafting() -> Iterator[None]:
    """Leave out walkthroughs for a while."""
    original = GameMaker.set_walkthrough
    GameMaker.set_walkthrough = lambda self, commands: None
    try:
        yield
    finally:
        GameMaker.set_walkthrough = original


def parse_rules_once() -> None:
    """Make TextWorld remember each knowledge base that it has loaded."""
    KnowledgeBase.load = functools.cache(KnowledgeBase.load)


def _settings(recipe: Recipe, split: str) -> dict[str, Any]:
    settings: dict[str, Any] = {k: v for k, v in recipe.parameters if k != "foods"}
    if recipe.challenge == "cooking":
        settings["split"] = split if recipe["foods"] == "split" else None
    if recipe.challenge == "simple":
        settings["test"] = recipe["foods"] == "split" and split == "test"
    return settings


def _make_custom(recipe: Recipe, options: Any) -> Any:
    options.nb_rooms = recipe["rooms"]
    options.nb_objects = recipe["objects"]
    options.nb_parallel_quests = recipe["parallel_quests"]
    options.quest_length = recipe["quest_length"]
    options.quest_breadth = recipe["quest_breadth"]
    return make_game(options)


def _events(quest: Any) -> tuple[Any, Any]:
    return quest.win_events, quest.fail_events


def _conditions(events: Any, names: Any) -> Iterator[list[str]]:
    for event in events:
        yield sorted(str(names(fact)) for fact in event.condition.preconditions)


def _draw(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") % _MOST_SEEDS
