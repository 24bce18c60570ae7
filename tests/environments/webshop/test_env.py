"""WebShop as an environment: what info carries, history, snapshots, hostile actions, options."""

from __future__ import annotations

import pytest

import agentrl
from agentrl.environments.webshop import WebShop
from agentrl.errors import ConfigError, DataError, TaskError

PAGES = ("text", "text_rich", "html")


@pytest.fixture
def make(shop_folder):
    return lambda **options: WebShop(data=shop_folder, **options)


def follow_expert(env, task):
    observation, info = env.reset(options={"task": task})
    transcript, reward = [("", observation, info["state_key"])], 0.0
    while "expert_action" in info:
        action = info["expert_action"]
        observation, reward, terminated, truncated, info = env.step(action)
        transcript.append((action, observation, info["state_key"]))
        if terminated or truncated:
            break
    return transcript, reward, info


def first_task(env, split="train"):
    return env.tasks.ids(split)[0]


def test_it_is_registered(shop_folder):
    env = agentrl.make("webshop", data=shop_folder, split="train", expert="search", mode="text")
    observation, info = env.reset(seed=3)
    assert observation.startswith("WebShop [SEP] Instruction: [SEP] Find me sturdy ")
    assert info["expert_action"].startswith("search[")


@pytest.mark.parametrize("mode", PAGES)
@pytest.mark.parametrize("expert", ["search", "oracle"])
def test_the_experts_buy_what_is_asked_for(make, mode, expert):
    env = make(mode=mode, expert=expert)
    for position in range(12):
        task = env.tasks.ids("train")[position]
        transcript, reward, info = follow_expert(env, task)
        assert (reward, info["success"]) == (1.0, True), transcript
        assert "expert_action" not in info


def test_info_carries_the_documented_keys(make):
    env = make()
    _, info = env.reset(options={"task": first_task(env)})
    usual = {"task_id", "success", "invalid", "admissible_actions", "state_key"}
    assert set(info) == {*usual, "available_actions"}
    assert info["available_actions"] == {"has_search_bar": True, "clickables": ["search"]}
    (only,) = info["admissible_actions"]
    page, _, _, _, info = env.step(only)
    clickables = list(info["available_actions"]["clickables"])
    assert [a.lower() for a in info["admissible_actions"]] == [f"click[{n}]" for n in clickables]
    assert all(a[len("click[") : -1] in page for a in info["admissible_actions"])
    info["available_actions"]["clickables"].clear()
    info["admissible_actions"].clear()
    _, _, _, _, info = env.step("click[next >]")
    assert info["admissible_actions"]
    _, _, _, _, info = env.step("click[< prev]")
    assert info["available_actions"]["clickables"] == clickables


def test_every_admissible_action_means_something(make):
    env = make(max_turns=100)
    _, info = env.reset(options={"task": first_task(env)})
    for action in ("search[peculiar vase]", "click[b0000000xy]"):
        _, _, _, _, info = env.step(action)
    assert "click[a [b]]" not in info["admissible_actions"], "it cannot be read as that name"
    here = env.snapshot()
    for action in info["admissible_actions"]:
        _, _, _, _, after = env.step(action)
        assert not after["invalid"], action
        env.restore(here)


def test_a_wrong_purchase_ends_the_episode_with_part_of_the_reward(make):
    env = make(expert="oracle", max_turns=30)
    env.reset(options={"task": first_task(env)})
    for action in ("search[peculiar vase]", "click[b0000000xy]"):
        env.step(action)
    _, reward, terminated, _, info = env.step("click[buy now]")
    assert terminated
    assert not info["success"]
    assert 0.0 <= reward < 1.0
    assert {"r_type", "r_att", "r_option", "r_price"} <= set(info["reward_parts"])
    assert info["admissible_actions"] == []
    with pytest.raises(TaskError, match="call reset first"):
        env.step("search[a]")


@pytest.mark.parametrize(
    "action",
    [
        "",
        "x" * 100_000,
        "[" * 100_000,
        "search[" * 20_000 + "]",
        "click[" + "a" * 100_000 + "]",
        "\x00\x07\x1b[31m",
        "\ud800",
        "click[\ud800]",
        "click[search]",
        "search[]",
        "Search[lamp]",
        "\nsearch[lamp]",
    ],
)
def test_hostile_actions_are_invalid_and_show_the_page_again(make, action):
    env = make(expert="search")
    page, before = env.reset(options={"task": first_task(env)})
    observation, reward, terminated, truncated, info = env.step(action)
    assert observation == page
    assert (reward, terminated, truncated, info["invalid"]) == (0.0, False, False, True)
    assert info["state_key"] == before["state_key"]


@pytest.mark.parametrize(
    "words", ["a" * 100_000, "\ud800 \udfff", "a " * 50_000, "<r>", "]]]", "<c>"]
)
def test_absurd_searches_are_answered(make, words):
    env = make()
    env.reset(options={"task": first_task(env)})
    observation, _, _, _, info = env.step(f"search[{words}]")
    assert "Total results: " in observation
    assert not info["invalid"]
    assert len(info["state_key"]) == 16


def test_episodes_repeat_exactly_and_seeds_change_nothing(make):
    runs = []
    for seed in (1, 2):
        env = make(expert="search")
        env.reset(seed=seed)
        runs.append(follow_expert(env, first_task(env)))
    assert runs[0] == runs[1]


def test_history_comes_before_the_page_with_the_newest_last(make):
    env = make(mode="text", previous_observations=2, previous_actions=1, max_turns=50)
    plain = make(mode="text", max_turns=50)
    task = first_task(env)
    first, _ = env.reset(options={"task": task})
    pages = [plain.reset(options={"task": task})[0]]
    assert first == pages[0], "nothing came before the first page"
    for action in ("search[lamp]", "nonsense", "click[next >]"):
        pages.append(plain.step(action)[0])
        observation = env.step(action)[0]
        wanted = [*pages[-3:-1], action, pages[-1]]
        assert observation == " [SEP] ".join(wanted)


@pytest.mark.parametrize("expert", ["search", "oracle"])
def test_snapshots_bring_back_shop_history_and_expert(make, expert):
    env = make(expert=expert, previous_observations=1, previous_actions=1)
    _, info = env.reset(options={"task": first_task(env)})
    for _ in range(2):
        _, _, _, _, info = env.step(info["expert_action"])
    snapshot, futures = env.snapshot(), []
    other = make(expert=expert, previous_observations=1, previous_actions=1)
    for player in (env, env, other):
        player.restore(snapshot)
        future = [player.step("click[< prev]")]
        while not future[-1][2] and len(future) < 12:
            future.append(player.step(future[-1][4]["expert_action"]))
        futures.append(future)
    assert futures[0] == futures[1] == futures[2]
    assert futures[0][-1][2], "the expert finishes from there"


def test_state_keys_belong_to_a_task(make):
    env = make()
    one, two = (env.tasks.ids("train")[position] for position in (0, 1))
    keys = [env.reset(options={"task": task})[1]["state_key"] for task in (one, two, one)]
    assert keys[0] == keys[2] != keys[1]


def test_visits_are_part_of_the_state_where_they_show(make):
    for mode, shown in (("text", False), ("text_rich", True), ("html", True)):
        env = make(mode=mode, max_turns=50)
        env.reset(options={"task": first_task(env)})
        _, _, _, _, before = env.step("search[peculiar vase]")
        env.step("click[b0000000xy]")
        _, _, _, _, after = env.step("click[< prev]")
        assert (before["state_key"] != after["state_key"]) == shown


def test_episodes_end_after_fifteen_turns_or_as_many_as_asked_for(make):
    for limit, env in ((15, make()), (3, make(max_turns=3))):
        env.reset(options={"task": first_task(env)})
        assert [env.step("look")[3] for _ in range(limit)] == [False] * (limit - 1) + [True]


def test_human_goals_can_be_played(make):
    env = make(goals="human", split=next(iter(make(goals="human").tasks.splits)), expert="oracle")
    _, reward, info = follow_expert(env, first_task(env, env.split))
    assert (reward, info["success"]) == (1.0, True)


def test_environments_of_a_process_share_one_shop(make):
    assert make().shelf is make(mode="text").shelf


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"mode": "rich"}, "unknown WebShop mode 'rich'; did you mean 'text_rich'"),
        ({"expert": "serach"}, "unknown WebShop expert 'serach'; did you mean 'search'"),
        ({"tagger": "spaci"}, "unknown tagger 'spaci'; did you mean 'spacy'"),
        ({"goals": "humans"}, "unknown goals 'humans'; did you mean 'human'"),
        ({"previous_actions": -1}, "previous_actions must be a whole number from 0, not -1"),
        ({"previous_observations": 1.5}, "previous_observations must be a whole number"),
    ],
)
def test_unknown_options_are_explained(make, options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make(**options)


def test_unknown_tasks_splits_and_data_are_explained(make, tmp_path):
    with pytest.raises(TaskError, match="unknown split 'tset'"):
        make(split="tset")
    with pytest.raises(TaskError, match="unknown task 'train/none'"):
        make().reset(options={"task": "train/none"})
    with pytest.raises(DataError, match="is not there"):
        WebShop(data=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"items_shuffle"):
        WebShop(data=tmp_path)
