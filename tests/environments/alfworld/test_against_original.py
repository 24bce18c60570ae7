"""Generated games against the original engine itself, where it is installed."""

from __future__ import annotations

import random

import pytest

from agentrl.environments.alfworld import Engine, generate
from agentrl.environments.alfworld.export import to_game_file
from agentrl.environments.alfworld.official import data_folder
from agentrl.environments.alfworld.original import Original
from agentrl.errors import AgentRLError


@pytest.fixture(scope="module")
def original():
    try:
        return Original()
    except AgentRLError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rules():
    try:
        folder = data_folder()
        return [(folder / name).read_text() for name in ("domain.pddl", "grammar.twl2")]
    except (AgentRLError, OSError) as error:
        pytest.skip(f"needs the official domain and grammar: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("level", [2, 4, 6])
def test_random_play_agrees(original, rules, level):
    for seed in range(900, 902):
        game, rng = generate(level, seed), random.Random(seed)
        engine = Engine(game)
        assert original.reset(to_game_file(game, *rules)) == engine.introduction()
        for _ in range(20):
            assert original.admissible == engine.admissible()
            command = rng.choice(engine.admissible())
            assert original.step(command) == engine.step(command), command
            assert original.won == engine.won
