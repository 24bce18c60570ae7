"""Whatever an agent writes: nothing happens, in time proportional to what it wrote."""

from __future__ import annotations

import pytest

from agentrl.environments.alfworld import AlfWorld

MEGABYTE = 1_000_000
ABSURD = {
    "letters": "a" * MEGABYTE,
    "a take without end": "take " + "a" * MEGABYTE,
    "a move without end": "move apple 1 to " + "a" * MEGABYTE,
    "names without end": "take " + "apple 1 " * (MEGABYTE // 8),
    "a number without end": "go to fridge " + "1" * MEGABYTE,
    "brackets": "(" * MEGABYTE + ")" * MEGABYTE,
    "brackets inside brackets": "take [apple [1 [from [(fridge) 1]]]]",
    "a regular expression": "(a+)+$",
    "what it is slow on": "a" * 50 + "!",
    "groups": "(?P<x>.)(?P=x)\\1" * 1000,
    "blanks": " " * MEGABYTE + "x" + "\t" * MEGABYTE,
    "format": "{0.__class__.__mro__} %n%s ${PATH} `id`",
    "control characters": "look\x00\x1b[2J\r\n",
    "other scripts": "go to fridge \uff11",
    "lone surrogates": "go to \ud800 1",
    "a template": "take {o} from {r}",
    "a rule": "#look.feedback#",
}


@pytest.mark.parametrize("expert", [None, "search", "planner"])
@pytest.mark.parametrize("kind", ABSURD)
def test_absurd_actions_change_nothing(kind, expert):
    env = AlfWorld(difficulty=3, expert=expert)
    _, info = env.reset(options={"task": "train/1"})
    try_out(env, info, ABSURD[kind], expert)
    # With something in the hand: the searching expert thinks about why it could not be put down.
    while not (moves := [c for c in info["admissible_actions"] if c.startswith("move ")]):
        takes = [c for c in info["admissible_actions"] if c.startswith("take ")]
        _, _, _, _, info = env.step(takes[0] if takes else explore(env, info))
    held = moves[0].removeprefix("move ").partition(" to ")[0]
    try_out(env, info, ABSURD[kind].replace("apple 1", held), expert)


def try_out(env, info, action, expert):
    before = {key: info[key] for key in ("state_key", "admissible_actions")}
    observation, reward, terminated, truncated, info = env.step(action)
    assert (observation, reward, terminated, truncated) == ("Nothing happens.", 0.0, False, False)
    assert info["invalid"]
    assert {key: info[key] for key in before} == before
    if expert is not None:
        assert info["expert_action"]


def explore(env, info):
    """Open what is closed here, and else go on to the next receptacle."""
    commands = info["admissible_actions"]
    opening = [command for command in commands if command.startswith("open ")]
    going = [command for command in commands if command.startswith("go to ")]
    return opening[0] if opening else going[env._turns % len(going)]
