"""Search QA as an environment: turns, rewards, what info carries, snapshots, hostile actions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import agentrl
from agentrl.check import check_environment
from agentrl.environments.searchqa import LEVELS, SearchQA
from agentrl.environments.searchqa.env import HINT, NO_ACTION, NOTHING
from agentrl.errors import ConfigError, TaskError


def play(env, task, choose):
    """Return the frames of an episode as (action, observation, info), and the sum of rewards."""
    observation, info = env.reset(options={"task": task})
    frames, total, over = [("", observation, info)], 0.0, False
    while not over:
        action = choose(info)
        observation, reward, terminated, truncated, info = env.step(action)
        frames.append((action, observation, info))
        total += reward
        over = terminated or truncated
    return frames, total


def follow(info):
    return info["expert_action"]


@pytest.mark.parametrize("hops", LEVELS)
@pytest.mark.parametrize("expert", ["search", "oracle"])
def test_the_experts_solve_every_question(hops, expert):
    env = agentrl.make("searchqa", difficulty=hops, expert=expert, split="test")
    for number in range(40):
        frames, total = play(env, f"test/{number}", follow)
        info = frames[-1][2]
        assert (total, info["success"], info["support_recall"]) == (1.0, True, 1.0)
        assert len(frames) - 1 <= hops + 1
        # What the expert does next is always on the list of actions.
        for (action, *_), (_, _, before) in zip(frames[1:], frames, strict=False):
            assert action in before["admissible_actions"]
            assert not before["invalid"]


def test_an_episode_word_for_word():
    env = SearchQA(difficulty=2, expert="search", split="test")
    frames, _ = play(env, "test/5", follow)
    assert [(action, observation) for action, observation, _ in frames] == EPISODE


EPISODE = [
    (
        "",
        "Who is the friend of the mother of Mona Hart? Write search[words] to look something up, "
        "then answer[words].",
    ),
    (
        "search[Mona Hart]",
        "Mona Hart: A miner, born in Calda, living in Tarn. Her mother is Lena Hart. Her father is "
        "Abel Cole.\n"
        "Lena Hart: A sailor, born in Tarn, living in Tarn. Her boss is Tess Hart. Her friend is "
        "Abel Cole.",
    ),
    ("answer[Abel Cole]", "Right."),
]


def test_observations_are_short():
    env = SearchQA(expert="search")
    lengths = [
        len(observation.split())
        for number in range(100)
        for _, observation, _ in play(env, f"train/{number}", follow)[0][:-1]
    ]
    assert max(lengths) <= 60
    assert min(lengths) >= 10


def test_info_while_it_runs_and_at_the_end():
    env = SearchQA(difficulty=3)
    _, info = env.reset(options={"task": "train/1"})
    always = {"task_id", "success", "invalid", "state_key", "answer", "admissible_actions"}
    always |= {"metrics"}
    assert set(info) == always | {"support_recall"}
    question = env.question
    assert info["answer"] == question.answers[0]
    assert info["support_recall"] == 0
    _, _, _, _, info = env.step(f"search[{question.supporting[0]}]")
    assert 1 / 3 <= info["support_recall"] < 1
    _, reward, terminated, _, info = env.step("answer[nobody at all]")
    assert (reward, terminated, info["success"]) == (0.0, True, False)
    assert set(info) == always | {"support_recall", "exact_match", "f1", "squad_f1"}
    assert info["admissible_actions"] == []
    assert info["support_recall"] < 1
    with pytest.raises(TaskError, match="reset"):
        env.step("search[Ada]")


def test_a_turn_limit_ends_without_an_answer():
    env = SearchQA(max_turns=2)
    env.reset(options={"task": "train/1"})
    *_, truncated, info = env.step("search[zebra]")
    assert not truncated
    assert "f1" not in info
    *_, terminated, truncated, info = env.step("search[zebra]")
    assert (terminated, truncated) == (False, True)
    assert (info["exact_match"], info["f1"], info["squad_f1"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("reward", "paid"), [("exact_match", 0.0), ("f1", 0.8), ("squad_f1", 2 / 3)]
)
def test_what_an_answer_pays(reward, paid):
    # {ada, holm} against {ada, holm, x}; three words and the same against two without a set.
    env = SearchQA(difficulty=1, reward=reward)
    number = next(n for n in range(100) if " " in env.tasks.at("train", n).data.answers[0])
    _, info = env.reset(options={"task": f"train/{number}"})
    first = info["answer"].split()[0]
    _, got, terminated, _, info = env.step(f"answer[{info['answer']} {first} x]")
    assert terminated
    assert got == pytest.approx(paid)
    assert (info["f1"], info["squad_f1"]) == (pytest.approx(0.8), pytest.approx(2 / 3))
    assert info["metrics"] == {name: info[name] for name in ("support_recall", "f1", "squad_f1")}


def test_an_answer_counts_however_it_is_spelled():
    env = SearchQA(difficulty=1)
    _, info = env.reset(options={"task": "train/3"})
    _, reward, _, _, info = env.step(f"ANSWER[ the {info['answer'].upper()}. ]")
    assert (reward, info["success"], info["exact_match"]) == (1.0, True, 1.0)


def test_searches():
    env = SearchQA(difficulty=4, results=3)
    _, before = env.reset(options={"task": "train/5"})
    observation, reward, _, _, info = env.step("search[zebra]")
    assert (observation, reward, info["invalid"]) == (NOTHING, 0.0, False)
    assert info["state_key"] == before["state_key"]
    observation, _, _, _, info = env.step("search[mayor of a town]")
    assert len(observation.splitlines()) == 3
    assert all(line in map(str, env.seen) for line in observation.splitlines())
    again, _, _, _, after = env.step("search[the MAYOR, town]")
    assert again == observation
    assert after["state_key"] == info["state_key"], "nothing new was seen"


def test_the_order_of_searches_does_not_matter_to_the_state():
    env = SearchQA(difficulty=3)
    names = sorted(env.tasks.at("train", 8).data.searchable)[:3]
    keys = set()
    for order in (names, names[::-1]):
        env.reset(options={"task": "train/8"})
        keys.add([env.step(f"search[{name}]")[4]["state_key"] for name in order][-1])
    assert len(keys) == 1
    other = [env.reset(options={"task": f"train/{n}"})[1]["state_key"] for n in (8, 9)]
    assert len({*keys, *other}) == 3


def test_admissible_actions_grow_with_what_was_seen():
    env = SearchQA(difficulty=2)
    _, info = env.reset(options={"task": "train/4"})
    start = env.question.supporting[0]
    assert info["admissible_actions"] == [f"search[{start}]", f"answer[{start}]"]
    _, _, _, _, info = env.step(f"search[{start}]")
    listed = info["admissible_actions"]
    shown = " ".join(map(str, env.seen))
    assert len(listed) > 8
    for action in listed:
        assert action.partition("[")[2][:-1] in shown + start
    assert any(a.startswith("answer[") and f"search{a[6:]}" not in listed for a in listed)
    here = env.snapshot()
    for action in listed:
        *_, after = env.step(action)
        assert not after["invalid"]
        env.restore(here)


def test_snapshots_go_to_other_instances():
    env, other = SearchQA(difficulty=4, expert="search"), SearchQA(difficulty=4, expert="search")
    env.reset(options={"task": "train/6"})
    env.step(env.expert_action())
    here, rest = env.snapshot(), []
    for one in (env, other):
        one.restore(here)
        frames = []
        while (action := one.expert_action()) and not one._last.terminated:
            frames.append(one.step(action))
        rest.append(frames)
    assert rest[0] == rest[1]
    assert rest[0][-1][4]["success"]


HOSTILE = (
    "", "\x00", "search", "search[", "search[]", "answer[]", "\ud800", "answer[\ud800]", "[" * 500,
    "search[\udfff]", "search[" + "a " * 50_000 + "]", "search[a] answer[b]", "click[buy now]",
    "search[%s{0}]", "search[①²]", "search[" + "\u0301" * 999 + "]", '{"action": "search[x]"}',
)  # fmt: skip


@pytest.mark.parametrize("action", HOSTILE)
def test_hostile_actions(action):
    env = SearchQA()
    _, before = env.reset(options={"task": "train/2"})
    observation, reward, _, _, info = env.step(action)
    observation.encode()
    assert reward == 0
    if info["invalid"]:
        assert observation == NO_ACTION
        assert info["state_key"] == before["state_key"]
        assert info["admissible_actions"] == before["admissible_actions"]


def test_a_random_agent_rarely_wins():
    rng = np.random.default_rng(0)
    env = SearchQA(split="test")

    def choose(info):
        listed = info["admissible_actions"]
        return listed[int(rng.integers(len(listed)))]

    wins = sum(play(env, f"test/{number}", choose)[1] for number in range(200))
    assert 0 < wins < 20


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"source": "hotpot"}, "unknown search-QA source 'hotpot'; did you mean 'hotpotqa'"),
        ({"expert": "orakel"}, "unknown search-QA expert 'orakel'; did you mean 'oracle'"),
        ({"reward": "em"}, "unknown search-QA reward 'em'"),
        ({"corpus": "wiki"}, "unknown search-QA corpus 'wiki'"),
        ({"results": 0}, "results must be a whole number from 1, not 0"),
        ({"results": True}, "results must be a whole number"),
        ({"difficulty": 7}, "unknown search-QA difficulty 7; use a whole number from 1 to 4"),
        ({"source": "hotpotqa", "expert": "search"}, "use expert='oracle'"),
    ],
)
def test_options_that_make_no_sense(options, text):
    with pytest.raises(ConfigError, match=text):
        SearchQA(**options)


def test_unknown_tasks_and_splits():
    with pytest.raises(TaskError, match="unknown split 'dev'"):
        SearchQA(split="dev")
    with pytest.raises(TaskError, match="unknown task"):
        SearchQA().reset(options={"task": "test/1000"})
    assert SearchQA().tasks.is_held_out("test")
    assert not SearchQA().tasks.is_held_out("train")


def test_the_checker_finds_nothing():
    report = check_environment("searchqa", episodes=4, fuzz=200)
    assert report.problems == []
    assert report.figures["oracle_success"] == 1


def test_generated_questions_need_no_package_and_no_data(tmp_path):
    program = (
        "import sys; sys.modules['bm25s'] = None; import agentrl;"
        "env = agentrl.make('searchqa', expert=True); o, i = env.reset(seed=0);"
        "print(env.step(i['expert_action'])[0]);"
        "assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)"
    )
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path), "AGENTRL_DATA": str(tmp_path / "no")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert ":" in done.stdout


def test_the_first_observation_says_how_to_act():
    observation, _ = SearchQA().reset(options={"task": "train/0"})
    assert observation.endswith(HINT)
