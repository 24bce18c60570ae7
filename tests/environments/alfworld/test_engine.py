"""The engine on a tiny kitchen whose every answer can be worked out by hand."""

from __future__ import annotations

import pytest

from agentrl.environments.alfworld.engine import NOTHING_HAPPENS, Engine
from agentrl.environments.alfworld.game import OLDER


@pytest.fixture
def engine(kitchen):
    return Engine(kitchen())


def play(engine, *commands):
    feedback = ""
    for command in commands:
        feedback = engine.step(command)
        assert feedback != NOTHING_HAPPENS, command
    return feedback


def test_introduction_lists_receptacles_with_falling_numbers(engine):
    assert engine.introduction() == (
        "-= Welcome to TextWorld, ALFRED! =-\n\n"
        "You are in the middle of a room. Looking quickly around you, you see a cabinet 2, "
        "a cabinet 1, a countertop 1, a fridge 1, a microwave 1, and a sinkbasin 1.\n\n"
        "Your task is to: put a hot apple in fridge."
    )


def test_look_in_the_middle_of_the_room_shows_nothing(engine):
    assert engine.step("look") == (
        "You are in the middle of a room. Looking quickly around you, you see nothing."
    )


def test_admissible_commands_are_sorted_and_exact(engine):
    play(engine, "go to countertop 1", "take apple 2 from countertop 1")
    assert engine.admissible() == [
        "examine apple 2",
        "examine countertop 1",
        "go to cabinet 1",
        "go to cabinet 2",
        "go to fridge 1",
        "go to microwave 1",
        "go to sinkbasin 1",
        "help",
        "inventory",
        "look",
        "move apple 2 to countertop 1",
        "use desklamp 1",
    ]


def test_closed_receptacles_hide_their_contents_until_opened(engine):
    assert play(engine, "go to fridge 1") == "You arrive at fridge 1. The fridge 1 is closed."
    assert engine.step("take apple 1 from fridge 1") == NOTHING_HAPPENS
    assert play(engine, "open fridge 1") == (
        "You open the fridge 1. The fridge 1 is open. In it, you see a apple 1."
    )
    assert "open fridge 1" not in engine.admissible()
    assert play(engine, "close fridge 1") == "You close the fridge 1."
    assert play(engine, "examine fridge 1") == "The fridge 1 is closed."


def test_heated_apple_in_the_fridge_wins(engine):
    play(engine, "go to countertop 1", "take apple 2 from countertop 1", "go to microwave 1")
    assert play(engine, "heat apple 2 with microwave 1") == (
        "You heat the apple 2 using the microwave 1."
    )
    play(engine, "go to fridge 1", "open fridge 1")
    assert (engine.won, engine.score) == (False, 0)
    assert play(engine, "move apple 2 to fridge 1") == "You move the apple 2 to the fridge 1."
    assert (engine.won, engine.score) == (True, 1)


def test_cooling_undoes_heating(engine):
    play(engine, "go to countertop 1", "take apple 2 from countertop 1", "go to microwave 1")
    play(engine, "heat apple 2 with microwave 1", "go to fridge 1", "cool apple 2 with fridge 1")
    assert play(engine, "examine apple 2") == "This is a cold apple 2."
    play(engine, "open fridge 1", "move apple 2 to fridge 1")
    assert not engine.won


def test_descriptions_combine_states(engine):
    play(engine, "go to countertop 1", "take knife 1 from countertop 1")
    assert play(engine, "slice apple 2 with knife 1") == "You sliced the apple 2 with the knife 1."
    play(engine, "move knife 1 to countertop 1", "take apple 2 from countertop 1")
    assert play(engine, "examine apple 2") == "This is a sliced apple 2."
    play(engine, "go to fridge 1", "cool apple 2 with fridge 1")
    assert play(engine, "examine apple 2") == "This is a cool sliced apple 2."
    play(engine, "go to sinkbasin 1", "clean apple 2 with sinkbasin 1")
    assert play(engine, "examine apple 2") == "This is a cool and clean sliced apple 2."
    play(engine, "go to microwave 1", "heat apple 2 with microwave 1")
    assert play(engine, "examine apple 2") == "This is a hot and clean sliced apple 2."


def test_knife_slices_what_is_here_even_unseen_but_not_elsewhere(engine):
    play(engine, "go to countertop 1", "take knife 1 from countertop 1", "go to sinkbasin 1")
    assert not any(command.startswith("slice") for command in engine.admissible())
    play(engine, "go to fridge 1")
    assert "slice apple 1 with knife 1" in engine.admissible()


def test_neighbours_at_one_location(engine):
    play(engine, "go to cabinet 1")
    assert engine.step("go to cabinet 2") == NOTHING_HAPPENS
    assert play(engine, "look") == (
        "You are facing the cabinet 2, and cabinet 1. Next to it, you see nothing."
    )
    play(engine, "open cabinet 2", "take bowl 1 from cabinet 1", "move bowl 1 to cabinet 2")
    assert play(engine, "look") == (
        "You are facing the cabinet 2, and cabinet 1. Next to it, you see a bowl 1."
    )


def test_vessels_show_what_lies_in_them(engine):
    play(engine, "go to cabinet 1", "take bowl 1 from cabinet 1")
    assert play(engine, "examine bowl 1") == "This is a normal bowl 1. In it, you see a egg 1."


def test_inventory_and_help(engine):
    assert play(engine, "inventory") == "You are not carrying anything."
    play(engine, "go to countertop 1", "take knife 1 from countertop 1")
    assert play(engine, "inventory") == "You are carrying: a knife 1."
    assert play(engine, "help").startswith("Available commands:\n  look:  ")


def test_look_task_is_won_beside_the_lit_lamp_only(kitchen):
    engine = Engine(kitchen("look"))
    play(engine, "go to countertop 1")
    assert play(engine, "use desklamp 1") == "You turn on the desklamp 1."
    play(engine, "go to cabinet 1", "take bowl 1 from cabinet 1")
    assert not engine.won
    play(engine, "go to countertop 1")
    assert engine.won


def test_two_objects_must_be_in_one_receptacle(kitchen):
    engine = Engine(kitchen("two"))
    play(engine, "go to fridge 1", "open fridge 1", "take apple 1 from fridge 1")
    assert not engine.won
    play(engine, "go to countertop 1", "move apple 1 to countertop 1")
    assert engine.won


@pytest.mark.parametrize(
    "command",
    [
        "",
        " ",
        "\n\t\r",
        "LOOK",
        "look around",
        "go  to fridge 1",
        "Go to fridge 1",
        "go to fridge 2",
        "take apple 2 from countertop 1",
        "\x00\x1b[2J",
        "go to fridge 1" * 7000,
        " " * 100_000,
        "😀" * 1000,
    ],
)
def test_anything_else_answers_that_nothing_happens_and_changes_nothing(engine, command):
    before = engine.state_key(), engine.admissible()
    assert engine.step(command) == NOTHING_HAPPENS
    assert (engine.state_key(), engine.admissible()) == before


def test_blanks_around_a_command_do_not_matter(engine):
    assert engine.step("  go to fridge 1 \n").startswith("You arrive at fridge 1.")


def test_restore_brings_back_everything(engine):
    play(engine, "go to countertop 1", "take apple 2 from countertop 1")
    snapshot, key, commands = engine.snapshot(), engine.state_key(), engine.admissible()
    play(engine, "go to microwave 1", "heat apple 2 with microwave 1", "open microwave 1")
    assert engine.state_key() != key
    for _ in range(2):
        engine.restore(snapshot)
        assert (engine.state_key(), engine.admissible()) == (key, commands)
        play(engine, "go to fridge 1", "open fridge 1", "move apple 2 to fridge 1")
        assert not engine.won


def test_state_key_tells_situations_apart_and_forgets_the_way(engine, kitchen):
    other = Engine(kitchen())
    assert engine.state_key() == other.state_key()
    play(engine, "go to countertop 1")
    play(other, "go to fridge 1", "look", "go to countertop 1", "inventory")
    assert engine.state_key() == other.state_key()
    keys = {engine.state_key()}
    for command in (
        "use desklamp 1",
        "take apple 2 from countertop 1",
        "go to microwave 1",
        "open microwave 1",
        "heat apple 2 with microwave 1",
        "go to fridge 1",
        "cool apple 2 with fridge 1",
        "go to sinkbasin 1",
        "clean apple 2 with sinkbasin 1",
    ):
        play(engine, command)
        keys.add(engine.state_key())
    assert len(keys) == 10
    assert Engine(kitchen("two")).state_key() != Engine(kitchen("heat")).state_key()


def test_older_release_words_things_differently(kitchen):
    engine = Engine(kitchen("two", OLDER))
    assert "help" not in engine.admissible()
    assert engine.step("help") == NOTHING_HAPPENS
    assert play(engine, "go to fridge 1") == "You arrive at loc 4. The fridge 1 is closed."
    play(engine, "open fridge 1", "take apple 1 from fridge 1", "go to countertop 1")
    assert engine.step("move apple 1 to countertop 1") == NOTHING_HAPPENS
    assert play(engine, "put apple 1 in/on countertop 1") == (
        "You put the apple 1 in/on the countertop 1."
    )
    assert engine.won
