"""Side by side with TextWorld's own environment: the same commands get the same answers."""

from __future__ import annotations

import random

import pytest
import textworld

from agentrl.environments.textworld.transcript import clean, clean_introduction

NONSENSE = ["open door", "take", "eat table", "go nowhere", "x me", "close fridge", "take coin"]
INFOS = textworld.EnvInfos(
    admissible_commands=True, policy_commands=True, won=True, lost=True, score=True, moves=True
)


@pytest.mark.filterwarnings("ignore:Game .* is not fully supported")
@pytest.mark.parametrize("challenge", ["treasure_hunter", "cooking", "simple", "custom"])
def test_the_same_as_the_original(make, challenge):
    env = make(challenge, expert="planner", max_turns=1000)
    game = env.tasks.get("train/0").data
    original = textworld.start(str(game.folder / "game.z8"), INFOS)
    for seed in range(2):
        rng = random.Random(seed)
        observation, info = env.reset(options={"task": "train/0"})
        state, done, terminated = original.reset(), False, False
        assert clean_introduction(state.feedback) == observation
        for _ in range(30):
            assert state.admissible_commands == info["admissible_actions"]
            assert (state.score, bool(state.won), done) == (
                info["score"],
                info["success"],
                terminated,
            )
            if terminated:
                break
            assert (state.policy_commands or [None])[0] == info.get("expert_action")
            action = rng.choice([*info["admissible_actions"], info["expert_action"]])
            if rng.random() < 0.1:
                action = rng.choice(NONSENSE)
            observation, _, terminated, _, info = env.step(action)
            state, _, done = original.step(action)
            assert clean(state.feedback) == observation
    original.close()
