"""Reading actions out of whatever a model writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.dialogue.formats import FORMATS, Choice, Plain, React, Xml

ACTIONS = {"admissible_actions": ["go to desk 1", "open drawer 2", "look", "7"]}


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("go to desk 1", "go to desk 1"),
        ("\n \n  look  \nand then sleep", "look"),
        ("look\r\nopen", "look"),
        ("<think>hm\nwell</think>\nlook", "look"),
        ("<think>a</think><think>b</think>look", "look"),
    ],
)
def test_plain(text: str, action: str) -> None:
    assert Plain().parse(text, {}) == (action, None)


@pytest.mark.parametrize("text", ["", " \n\t\n", "<think>and on and on", "<think>a</think>"])
def test_plain_problem(text: str) -> None:
    action, problem = Plain().parse(text, {})
    assert action is None
    assert problem is not None
    assert "empty" in problem


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Thought: a desk.\nAction: go to desk 1", "go to desk 1"),
        ("Action: look", "look"),
        ("thought: x\naction : look\n", "look"),
        ("Thought 1: x\nAction 1: look", "look"),
        ("**Thought:** x\n**Action:** look", "look"),
        ("Thought: x\nAction:\n\nlook", "look"),
        ("Thought: x Action: look", "look"),
        ("Thought: x\nAction: look\nObservation: a lie\nAction: sleep", "look"),
        ("Thought: the Action: word is in here\nAction: look", "look"),
        ("<think>Action: sleep</think>\nThought: x\nAction: look", "look"),
    ],
)
def test_react(text: str, action: str) -> None:
    assert React().parse(text, {}) == (action, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no action"),
        ("I would rather look", "no action"),
        ("Thought: x\nAction:   \n ", "Nothing followed"),
        ("<think>Action: look", "no action"),
    ],
)
def test_react_problem(text: str, problem: str) -> None:
    action, said = React().parse(text, {})
    assert action is None
    assert said is not None
    assert problem in said


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("<think>a desk</think><action>look</action>", "look"),
        ("<think>\na\n</think>\n<action>\n look \n</action>\n", "look"),
        ("<action>look</action>", "look"),
        ("a thought the prompt opened</think><action>look</action>", "look"),
        ("<think><action>sleep</action></think><action>look</action>", "look"),
        ("<action>print(1)\nprint(2)</action>", "print(1)\nprint(2)"),
    ],
)
def test_xml(text: str, action: str) -> None:
    assert Xml().parse(text, {}) == (action, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "0 <action>"),
        ("look", "0 <action>"),
        ("<action>look", "1 <action> and 0 </action>"),
        ("<action>look</action><action>sleep</action>", "2 <action>"),
        ("<action><action>look</action></action>", "exactly one"),
        ("</action>look<action>", "empty"),
        ("<action> </action>", "empty"),
        ("<think>hm <action>look</action>", "thoughts"),
    ],
)
def test_xml_problem(text: str, problem: str) -> None:
    action, said = Xml().parse(text, {})
    assert action is None
    assert said is not None
    assert problem in said


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("go to desk 1", "go to desk 1"),
        ("  GO  to Desk 1 \nbecause", "go to desk 1"),
        ('"look".', "look"),
        ("2", "open drawer 2"),
        ("2.", "open drawer 2"),
        ("(2)", "open drawer 2"),
        ("#2", "open drawer 2"),
        ("2. open drawer 2", "open drawer 2"),
        ("7", "7"),
        ("4", "7"),
    ],
)
def test_choice(text: str, action: str) -> None:
    assert Choice().parse(text, ACTIONS) == (action, None)


@pytest.mark.parametrize("text", ["0", "5", "99999999999", "2. look", "dance", "²", "-1", "1e0"])
def test_choice_problem(text: str) -> None:
    action, problem = Choice().parse(text, ACTIONS)
    assert action is None
    assert problem == f"{text!r} is not one of the actions you can take now. Name one of them."


def test_choice_lists_the_actions_unless_decoding_is_restricted() -> None:
    listed, restricted = FORMATS["choice"](False), FORMATS["choice"](True)
    assert listed.decorate("A room.", ACTIONS) == (
        "A room.\n\nActions:\n1. go to desk 1\n2. open drawer 2\n3. look\n4. 7"
    )
    assert restricted.decorate("A room.", ACTIONS) == "A room."
    assert listed.choices(ACTIONS) is None
    assert list(restricted.choices(ACTIONS)) == ACTIONS["admissible_actions"]
    assert restricted.choices({"admissible_actions": []}) is None
    assert restricted.parse("2", ACTIONS)[0] is None
    assert listed.instructions != restricted.instructions


def test_choice_without_actions_takes_any_line() -> None:
    assert Choice().decorate("A room.", {}) == "A room."
    assert Choice().parse("look\n", {}) == ("look", None)
    assert Choice().parse("\n", {})[0] is None


def test_long_answers_are_quoted_in_part_and_without_control_characters() -> None:
    problem = Choice().parse("\x1b[31m" + "x" * 10_000, ACTIONS)[1]
    assert problem is not None
    assert len(problem) < 200
    assert "\x1b" not in problem


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_wants(name: str) -> None:
    made = FORMATS[name](False)
    assert "action" in made.instructions
    assert made.parse("", ACTIONS)[1]


SEEDS = [
    "<think>", "</think>", "<action>", "</action>", "Action:", "action 1 :", "Thought:", "\n",
    " ", "\t", "*", "1. ", "((", "\x00", "\u2028", "İ", "ß",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(SEEDS), st.text(max_size=5)), max_size=20).map("".join))
def test_no_text_raises(text: str) -> None:
    check(text, ACTIONS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("frame", ["{}", "<think>{}</think><action>{}</action>", "Action: {}"])
def test_a_megabyte_of_anything_is_read(seed: str, frame: str) -> None:
    # Quadratic work on this much text would not end within the suite's time limit.
    check(frame.replace("{}", seed * (1_000_000 // len(seed))), ACTIONS)


def check(text: str, info: dict[str, Any]) -> None:
    for make in FORMATS.values():
        for restrict in (False, True):
            action, problem = make(restrict).parse(text, info)
            assert (action is None) != (problem is None)
            assert action is None or action.strip() == action != ""
