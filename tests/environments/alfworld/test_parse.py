"""Games whose PDDL says what ALFWorld's grammar lacks are refused, with a reason."""

from __future__ import annotations

import pytest

from agentrl.environments.alfworld import Engine, generate
from agentrl.environments.alfworld.export import to_pddl
from agentrl.environments.alfworld.game import TaskType
from agentrl.environments.alfworld.parse import parse_game
from agentrl.errors import TaskError


def complaint(text):
    with pytest.raises(TaskError, match=r"^game 'g' \(file, line 7\) is damaged: ") as raised:
        parse_game(text, "do it", game_id="g", where="file, line 7")
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith("; get the file again from the official release")
    return message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("AppleType KnifeType", "AppleType KnifeType - otpe Odd", "unknown type 'otpe'; did you"),
        ("- agent\n", "- wizard\n", "unknown type 'wizard'"),
        ("EggType - otype", "EggType", "'appletype' has no type in its (:objects"),
        ("(openable Fridge_bar_1)", "(openble Fridge_bar_1)", "predicate 'openble'; did you mean"),
        ("(openable Fridge_bar_1)", "(enchanted Fridge_bar_1)", "unknown predicate 'enchanted'"),
        ("(openable Fridge_bar_1)", "(openable Oven_bar_1)", "names 'oven_bar_1', which its (:ob"),
        ("(openable Fridge_bar_1)", "(openable Egg_bar_1)", "'egg_bar_1', a object, in place of"),
        ("(openable Fridge_bar_1)", "(openable)", "openable facts take 1 terms"),
        ("(openable Fridge_bar_1)", "(holds agent1 Egg_bar_1)", "already holds something"),
        ("(openable Fridge_bar_1)", "(not (openable Fridge_bar_1))", "'not', where only facts"),
        (
            "(receptacleType Fridge_bar_1 FridgeType)",
            "",
            "the receptacle 'fridge_bar_1' has no type",
        ),
        (
            "(receptacleAtLocation Fridge_bar_1 loc_bar_3)",
            "",
            "is in 'fridge_bar_1', which stands nowhere",
        ),
        (
            "(atLocation agent1 loc_bar_9)",
            "(atLocation agent1 loc_bar_9) (atLocation agent1 loc_bar_1)",
            "at 2 places",
        ),
        ("(:objects", "(:things", "has no (:objects …) section"),
    ],
)
def test_unknown_names_are_told(problem, old, new, said):
    text = problem("heat")
    assert old in text
    assert said in complaint(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(isHot ?o)", "(isSliced ?o)", "none of ALFWorld's six"),
        ("(isHot ?o)", "(isHot ?o) (isClean ?o)", "none of ALFWorld's six"),
        ("(isHot ?o)", "(not (isHot ?o))", "none of ALFWorld's six"),
        ("(and (heatable", "(or (heatable", "none of ALFWorld's six"),
        ("(exists (?o -", "(forall (?o -", "none of ALFWorld's six"),
        ("(inReceptacle ?o ?r)", "(inReceptacle ?r ?o)", "none of ALFWorld's six"),
        ("?o AppleType", "?o PearType", "asks for the unknown type 'peartype'"),
        ("?r FridgeType", "?r OtherType", "asks for the unknown type 'othertype'"),
        ("?r FridgeType", "?r KnifeType", "asks for a 'knifetype', and there is none"),
    ],
)
def test_unknown_goals_are_told(problem, old, new, said):
    text = problem("heat")
    start = text.index("(:goal")
    assert old in text[start:]
    assert said in complaint(text[:start] + text[start:].replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [("(not (= ?o1 ?o2))", "(= ?o1 ?o2)"), ("?o2 AppleType", "?o2 EggType")],
)
def test_two_must_be_two_of_a_kind(problem, old, new):
    text = problem("two")
    assert old in text
    assert "none of ALFWorld's six" in complaint(text.replace(old, new, 1))


def test_comments_distances_and_lists_of_names_are_read(problem):
    plain = problem("heat")
    text = plain.replace(
        "(:init\n",
        "(:init ; (openable CounterTop_bar_1)\n(= (total-cost) 0)\n"
        "(= (distance loc_bar_1 loc_bar_2) 5)\n(examined loc_bar_1) (checked Fridge_bar_1)\n",
    )
    assert text != plain
    assert parse_game(text, "s").layout_hash == parse_game(plain, "s").layout_hash


def test_all_six_goals_are_understood_however_their_parts_are_ordered():
    games = {}
    for seed in range(60):
        game = generate(6, seed)
        games[game.goal.task_type] = game
    assert games.keys() == set(TaskType)
    for game in games.values():
        assert parse_game(to_pddl(game), game.goal.sentence).goal == game.goal


def test_an_object_without_a_type_can_be_taken_but_fits_nowhere(problem):
    """Two official games have such an egg."""
    text = problem("heat").replace("(objectType Egg_bar_1 EggType)", "")
    engine = Engine(parse_game(text, "s"))
    for command in ("go to cabinet 1", "take egg 1 from cabinet 1"):
        assert engine.step(command) != "Nothing happens."
    assert not any(command.startswith("move") for command in engine.admissible())
