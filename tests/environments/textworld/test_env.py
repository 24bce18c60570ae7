"""TextWorld as a text environment."""

from __future__ import annotations

import random
import warnings
from itertools import pairwise

import pytest
from gymnasium.utils.env_checker import check_env

from agentrl.environments.textworld.commands import NOT_UNDERSTOOD
from agentrl.errors import ConfigError, TaskError

CHALLENGES = ["treasure_hunter", "coin_collector", "cooking", "simple", "custom"]


def play(env, actions=None, task="train/0"):
    """Play a list of actions, or the expert's, and return the frames."""
    observation, info = env.reset(seed=0, options={"task": task})
    frames, done = [(observation, 0.0, info)], False
    script = iter(actions) if actions is not None else None
    while not done:
        action = next(script, None) if script is not None else frames[-1][2]["expert_action"]
        if action is None:
            break
        observation, reward, terminated, truncated, info = env.step(action)
        frames.append((observation, reward, info))
        done = terminated or truncated
    return frames


def test_gymnasium_accepts_it(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = make()
        env.tasks.splits["train"] = ["train/0"]
        check_env(env, skip_render_check=True)


@pytest.mark.parametrize("challenge", CHALLENGES)
@pytest.mark.parametrize("expert", ["planner", "walkthrough"])
def test_experts_win_every_challenge(make, challenge, expert):
    frames = play(make(challenge, expert=expert))
    assert frames[-1][2]["success"]
    assert [reward for _, reward, _ in frames] == [0.0] * (len(frames) - 1) + [1.0]
    assert frames[-1][2]["score"] == frames[-1][2]["max_score"]
    assert "expert_action" not in frames[-1][2]


@pytest.mark.parametrize("challenge", ["simple", "cooking"])
def test_dense_reward_is_the_score_as_a_share(make, challenge):
    frames = play(make(challenge, expert="planner", reward="dense"))
    highest = frames[0][2]["max_score"]
    rewards = [reward for _, reward, _ in frames]
    assert highest > 1
    assert sum(rewards) == pytest.approx(1.0)
    assert sum(reward > 0 for reward in rewards) > 1
    scores = [info["score"] for _, _, info in frames]
    assert [round(reward * highest) for reward in rewards[1:]] == [
        after - before for before, after in pairwise(scores)
    ]


def test_the_planner_finds_its_way_back(make):
    env = make("simple", expert="planner")
    for seed in range(3):
        rng = random.Random(seed)
        _, info = env.reset(options={"task": "train/0"})
        for _ in range(8):
            walks = [a for a in info["admissible_actions"] if not a.startswith("eat")]
            _, _, _, _, info = env.step(rng.choice(walks))
        while not info["success"]:
            _, _, terminated, truncated, info = env.step(info["expert_action"])
            assert info["success"] or not (terminated or truncated)


def test_losing_ends_the_episode(make):
    env = make("cooking", expert="planner", reward="dense")
    _, info = env.reset(options={"task": "train/0"})
    for _ in range(20):
        cooking = [a for a in info["admissible_actions"] if a.startswith("cook ")]
        action = cooking[0] if cooking else info["expert_action"]
        observation, _, terminated, _, info = env.step(action)
        if terminated:
            break
    assert terminated
    assert not info["success"]
    assert observation.endswith("*** You lost! ***")


def test_episodes_repeat_exactly(make):
    first = play(make("simple", expert="planner"))
    env = make("simple", expert="planner")
    play(env, ["look", "dance"])
    assert play(env) == first


def test_observations_are_clean(make):
    env = make("treasure_hunter", expert="planner")
    for observation, _, _ in play(env):
        assert observation == observation.strip()
        assert not any(mark in observation for mark in ("$$", "\n>", "\n\n\n", "[", "<score>"))
        assert "turns" not in observation
    assert env.render().endswith("*** The End ***")


def test_info_carries_the_documented_keys(make):
    _, info = make().reset(options={"task": "train/0"})
    assert set(info) == {
        "task_id", "success", "invalid", "admissible_actions", "state_key", "score", "max_score",
    }  # fmt: skip
    assert info["admissible_actions"] == sorted(info["admissible_actions"])
    assert {"look", "inventory"} < set(info["admissible_actions"])


def test_equal_situations_have_equal_keys(make):
    env = make("coin_collector", expert="planner")
    _, info = env.reset(options={"task": "train/0"})
    there = info["expert_action"]
    keys = [info["state_key"]]
    back = {"north": "south", "south": "north", "east": "west", "west": "east"}
    for action in (there, f"go {back[there.split()[1]]}", "look", "dance", there):
        keys.append(env.step(action)[4]["state_key"])
    assert keys[0] == keys[2] == keys[3] == keys[4] != keys[1]
    assert keys[1] == keys[5]


HOSTILE = [
    "", "   ", "x" * 100_000, "go " * 40_000, "\x00", "\x1b[31m", "look\nlook", "\ud800", "打开",
    "[going north - succeeded]", "say ] [going north - succeeded]", "<score>\n9\n</score>", "((((",
    "save", "Save.", "look. save", "restore", "script", "transcripts", "quit", "restart", "undo",
    "again", "g", "take it", "tw-trace-actions", "restrict commands", "look then look", "%s%n",
    "take", "go", "sing loudly", "\\", "\\w", "\\N{SNOWMAN}", '"', "wait", "jump", "version",
]  # fmt: skip


def test_hostile_actions_are_invalid_and_leave_no_trace(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = make("simple", expert="planner", max_turns=1000)
    _, before = env.reset(options={"task": "train/0"})
    for action in HOSTILE:
        observation, reward, terminated, truncated, info = env.step(action)
        assert observation, action
        assert (reward, terminated, truncated, info["invalid"]) == (0.0, False, False, True), action
        assert {**info, "invalid": False} == before, action
    assert list(tmp_path.iterdir()) == []
    assert env.step("x" * 121)[0] == NOT_UNDERSTOOD
    while not info["success"]:
        info = env.step(info["expert_action"])[4]


def test_an_unfinished_question_is_forgotten(make):
    env = make("simple")
    _, before = env.reset(options={"task": "train/0"})
    assert "open chest drawer" in before["admissible_actions"]
    assert env.step("open")[0].startswith("What do you want to open?")
    info = env.step("chest drawer")[4]
    assert info["invalid"]
    assert info["state_key"] == before["state_key"]


@pytest.mark.parametrize("expert", [None, "planner", "walkthrough"])
def test_snapshots_bring_back_game_and_expert(make, expert):
    env, other = make("cooking", expert=expert), make("cooking", expert=expert)
    _, info = env.reset(options={"task": "train/0"})
    for action in ("look", "inventory"):
        info = env.step(action)[4]
    snapshot = env.snapshot()
    futures = []
    for player in (env, env, other):
        player.restore(snapshot)
        rng, future = random.Random(1), []
        actions = info["admissible_actions"]
        for _ in range(15):
            frame = player.step(rng.choice(actions))
            future.append(frame)
            if frame[2]:
                break
            actions = frame[4]["admissible_actions"]
        futures.append(future)
    assert futures[0] == futures[1] == futures[2]


def test_episodes_end_after_as_many_turns_as_asked_for(make):
    env = make(max_turns=3)
    env.reset(options={"task": "train/0"})
    assert [env.step("look")[3] for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"challenge": "coin_colector"}, "unknown TextWorld challenge 'coin_colector'; did you"),
        ({"levle": 3}, "no option 'levle'; did you mean 'level'"),
        ({"challenge": "cooking", "level": 3}, "cooking has no parameter 'level'"),
        ({"challenge": "cooking", "go": 5}, "go of TextWorld's cooking must be one of 1, 6, 9, 12"),
        ({"challenge": "cooking", "go": True}, "go of TextWorld's cooking must be one of"),
        ({"challenge": "cooking", "take": 2}, "take=2 ingredients to find but only recipe=1"),
        ({"challenge": "cooking", "take": 0, "recipe_seed": 1}, "needs take"),
        ({"challenge": "cooking", "open": 1}, "open of TextWorld's cooking must be true or false"),
        ({"level": 31}, "level of TextWorld's treasure_hunter must be a whole number from 1 to 30"),
        ({"level": "5"}, "not '5'"),
        ({"level": True}, "not True"),
        ({"goal": "breif"}, "goal .* did you mean 'brief'"),
        ({"challenge": "coin_collector", "level": 160}, "has 120 rooms"),
        ({"reward": "danse"}, "reward 'danse'; did you mean 'dense'"),
        ({"expert": "planer"}, "expert 'planer'; did you mean 'planner'"),
    ],
)
def test_bad_options_are_explained(make, options, complaint):
    import agentrl

    with pytest.raises(ConfigError, match=complaint) as raised:
        agentrl.make("textworld", **options)
    assert "\n" not in str(raised.value)


def test_unknown_splits_and_tasks_are_explained(make):
    with pytest.raises(TaskError, match="unknown split 'tset'; did you mean 'test'"):
        make(split="tset")
    with pytest.raises(TaskError, match="unknown task 'train/-1'"):
        make().reset(options={"task": "train/-1"})
