"""AlfWorld as a text environment, with generated and with official games."""

from __future__ import annotations

import json
import lzma
import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from agentrl.environments.alfworld import AlfWorld, generate
from agentrl.environments.alfworld.export import to_pddl
from agentrl.errors import ConfigError, TaskError


def follow_expert(env, task, seed=0):
    observation, info = env.reset(seed=seed, options={"task": task})
    transcript, done = [observation], False
    while not done:
        observation, reward, terminated, truncated, info = env.step(info["expert_action"])
        transcript.append((observation, reward, info["state_key"]))
        done = terminated or truncated
    return transcript, info


def test_gymnasium_accepts_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(AlfWorld(difficulty=2, expert="search"), skip_render_check=True)


@pytest.mark.parametrize("expert", ["search", "planner"])
def test_experts_solve_tasks_of_every_split(expert):
    env = AlfWorld(difficulty=(2, 5), expert=expert)
    for split in ("train", "valid", "test"):
        for index in range(5):
            transcript, info = follow_expert(env, f"{split}/{index}")
            assert info["success"]
            assert [reward for _, reward, _ in transcript[1:]] == [0.0] * (len(transcript) - 2) + [
                1
            ]


def test_episodes_repeat_exactly():
    transcripts = [follow_expert(AlfWorld(expert="search"), "train/9", seed=4)[0] for _ in range(2)]
    assert transcripts[0] == transcripts[1]


def test_info_carries_the_documented_keys():
    env = AlfWorld(difficulty=1)
    _, info = env.reset(options={"task": "train/0"})
    assert set(info) == {"task_id", "success", "invalid", "admissible_actions", "state_key"}
    assert info["admissible_actions"] == sorted(info["admissible_actions"])
    info["admissible_actions"].clear()
    _, _, _, _, info = env.step("look")
    assert info["admissible_actions"]


def test_banner_is_an_option():
    short, _ = AlfWorld().reset(options={"task": "valid/1"})
    long, _ = AlfWorld(banner=True).reset(options={"task": "valid/1"})
    assert short.startswith("You are in the middle of a room.")
    assert long == f"-= Welcome to TextWorld, ALFRED! =-\n\n{short}"


@pytest.mark.parametrize(
    "action", ["", "x" * 100_000, "\x00\x07\x1b[31m", "go to", "LOOK", "\ud800"]
)
def test_hostile_actions_are_invalid_and_harmless(action):
    env = AlfWorld(difficulty=1, expert="search")
    _, before = env.reset(options={"task": "train/0"})
    observation, reward, terminated, truncated, info = env.step(action)
    assert observation == "Nothing happens."
    assert (reward, terminated, truncated, info["invalid"]) == (0.0, False, False, True)
    assert info["state_key"] == before["state_key"]


def test_episodes_end_after_fifty_turns_or_as_many_as_asked_for():
    for limit, env in ((50, AlfWorld()), (3, AlfWorld(max_turns=3))):
        env.reset(options={"task": "train/0"})
        ends = [env.step("look")[3] for _ in range(limit)]
        assert ends == [False] * (limit - 1) + [True]


@pytest.mark.parametrize("expert", ["search", "planner"])
def test_snapshots_bring_back_game_and_expert(expert):
    env = AlfWorld(expert=expert)
    _, info = env.reset(seed=1, options={"task": "test/3"})
    for _ in range(3):
        _, _, _, _, info = env.step(info["expert_action"])
    snapshot = env.snapshot()
    futures = []
    for _ in range(2):
        env.restore(snapshot)
        rng, future = np.random.default_rng(0), []
        _, _, _, _, info = env.step("look")
        for _ in range(12):
            action = info["expert_action"]
            if rng.random() < 0.5:
                action = info["admissible_actions"][0]
            observation, _, terminated, _, info = env.step(action)
            future.append((action, observation, info["state_key"]))
            if terminated:
                break
        futures.append(future)
    assert futures[0] == futures[1]


def test_unknown_options_are_explained():
    with pytest.raises(
        ConfigError, match="unknown ALFWorld source 'offical'; did you mean 'offici"
    ):
        AlfWorld(source="offical")
    with pytest.raises(
        ConfigError, match="unknown ALFWorld expert 'planer'; did you mean 'planner"
    ):
        AlfWorld(expert="planer")
    with pytest.raises(ConfigError, match="difficulty 0"):
        AlfWorld(difficulty=0)
    with pytest.raises(TaskError, match="unknown split 'valid_seen'"):
        AlfWorld(split="valid_seen")


def write_packed(folder, split, games):
    rows = [
        {"id": f"game-{index}/trial", "goal": game.goal.sentence, "pddl_problem": to_pddl(game)}
        for index, game in enumerate(games)
    ]
    folder.mkdir(exist_ok=True)
    with lzma.open(folder / f"{split}.jsonl.xz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_official_games_from_packed_files(tmp_path, monkeypatch):
    games = [generate(6, seed) for seed in range(3)]
    write_packed(tmp_path / "alfworld", "valid_unseen", games)
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path))
    env = AlfWorld(source="official", split="valid_unseen", expert="planner")
    assert list(env.tasks.ids("valid_unseen")) == [f"valid_unseen/game-{n}/trial" for n in range(3)]
    assert env.tasks.is_held_out("valid_unseen")
    _, info = follow_expert(env, "valid_unseen/game-1/trial")
    assert info["success"]
    assert env.engine.game.layout_hash == games[1].layout_hash
    with pytest.raises(TaskError, match=r"'train' is not in .*train\.jsonl\.xz.*json_2"):
        AlfWorld(source="official")


def write_release(folder, game, task, *, put, grammar_goal, solvable=True):
    place = folder / "json_2.1.1" / "valid_seen" / task / "trial_1"
    place.mkdir(parents=True)
    grammar = (
        f'grammar :: """{{"task": [ {{ "rhs": "Your task is to: {grammar_goal}" }} ] }}""";\n'
        f'action PutObject {{ template :: "{put}"; }}'
    )
    content = {"pddl_domain": "", "grammar": grammar, "solvable": solvable}
    trajectory = {
        "task_type": game.goal.task_type.value,
        "pddl_params": {
            "object_target": "Mug",
            "parent_target": "Desk",
            "toggle_target": "",
        },
    }
    (place / "traj_data.json").write_text(json.dumps(trajectory), encoding="utf-8")
    (place / "initial_state.pddl").write_text(to_pddl(game), encoding="utf-8")
    (place / "game.tw-pddl").write_text(json.dumps(content), encoding="utf-8")
    return place / "game.tw-pddl"


def test_official_games_from_the_folders_of_both_releases(tmp_path):
    game = next(g for g in (generate(2, seed) for seed in range(9)))
    old, new = "put {o} in/on {r}", "move {o} to {r}"
    write_release(tmp_path, game, "new", put=new, grammar_goal=game.goal.sentence)
    write_release(tmp_path, game, "old", put=old, grammar_goal="UNKNOWN GOAL.")
    write_release(tmp_path, game, "lost", put=new, grammar_goal="x", solvable=False)
    env = AlfWorld(source="official", data=tmp_path, split="valid_seen", expert="planner")
    assert list(env.tasks.ids("valid_seen")) == ["valid_seen/new/trial_1", "valid_seen/old/trial_1"]
    for task, verb in (("new", "move"), ("old", "put")):
        introduction, _ = env.reset(options={"task": f"valid_seen/{task}/trial_1"})
        wanted = game.goal.sentence if task == "new" else "put some mug on desk."
        assert introduction.endswith(f"Your task is to: {wanted}")
        _, info = follow_expert(env, f"valid_seen/{task}/trial_1")
        assert info["success"]
        assert env.engine.game.phrases.put_command.startswith(verb)


def test_missing_data_directory_is_explained(monkeypatch, tmp_path):
    monkeypatch.delenv("AGENTRL_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(TaskError, match=r"agentrl data get alfworld.*source='generated'"):
        AlfWorld(source="official")


def test_damaged_files_are_explained(tmp_path):
    write_packed(tmp_path, "train", [generate(6, 0), generate(6, 1)])
    file = tmp_path / "train.jsonl.xz"
    intact = file.read_bytes()
    file.write_bytes(intact[: len(intact) // 2])
    with pytest.raises(TaskError, match=r"train\.jsonl\.xz is damaged: .*copy the file again"):
        AlfWorld(source="official", data=tmp_path)
    with lzma.open(file, "wt") as out:
        out.write('{"id": "a", "goal": "b"}\n')
    with pytest.raises(TaskError, match=r"line 1 is damaged: .*missing required field `pddl_pro"):
        AlfWorld(source="official", data=tmp_path)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text[: len(text) // 2], "has no (:goal …) section"),
        (lambda text: text.replace("(:init", "(:start"), "has no (:init …) section"),
        (lambda text: text.rstrip()[:-1], "opening but"),
        (lambda text: text.replace("(inReceptacle ", "(inRec "), "has no inreceptacle facts"),
        (lambda text: text.replace("?r FridgeType", "?r OvenType"), "unknown type 'oventype'"),
        (lambda text: "", "has no (:objects"),
    ],
)
def test_damaged_problems_are_explained(damage, complaint, problem, tmp_path):
    row = {"id": "kitchen/1", "goal": "g", "pddl_problem": damage(problem("heat"))}
    with lzma.open(tmp_path / "train.jsonl.xz", "wt") as file:
        file.write(json.dumps(row) + "\n")
    env = AlfWorld(source="official", data=tmp_path)
    with pytest.raises(TaskError, match="game 'kitchen/1'") as raised:
        env.reset()
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)
