"""Many episodes in one process leave nothing behind."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

from agentrl.environments.alfworld import AlfWorld, Engine, Game
from agentrl.environments.alfworld.official import official
from agentrl.environments.alfworld.tasks import generated_game


def play(env, episodes, first):
    for number in range(first, first + episodes):
        _, info = env.reset(seed=number)
        rng, done = np.random.default_rng(number), False
        while not done:
            commands = info["admissible_actions"]
            is_random = rng.random() < 0.5
            action = commands[int(rng.integers(len(commands)))]
            _, _, terminated, truncated, info = env.step(
                action if is_random else info["expert_action"]
            )
            done = terminated or truncated


def living(kind):
    gc.collect()
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


@pytest.mark.parametrize("expert", ["search", "planner"])
def test_hundreds_of_episodes_do_not_grow(expert):
    """With the games kept compiled left out, which are limited in number."""
    generated_game.cache_clear()
    env = AlfWorld(difficulty=(1, 3), expert=expert, max_turns=20)
    play(env, 30, 0)
    generated_game.cache_clear()
    gc.collect()
    tracemalloc.start()
    try:
        play(env, 30, 30)
        generated_game.cache_clear()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        play(env, 300, 60)
        generated_game.cache_clear()
        gc.collect()
        growth = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # A single game kept per episode would be 300 times 5 KiB or more.
    assert growth < 100_000
    assert living(Engine) <= 2


def test_games_kept_compiled_are_limited_in_number():
    generated_game.cache_clear()
    before = living(Game)
    env = AlfWorld(difficulty=1)
    for index in range(400):
        env.reset(options={"task": f"train/{index}"})
    assert living(Game) - before <= 256 + 1
    assert generated_game.cache_info().maxsize == 256


def test_official_games_kept_compiled_are_limited_in_number(official_rows):
    assert official().splits["train"].game.cache_info().maxsize == 256
