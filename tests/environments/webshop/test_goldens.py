"""The native shop against 120 episodes recorded from the original, word for word."""

from __future__ import annotations

import json
import lzma
from random import Random

import pytest

from agentrl.environments.webshop import WebShop
from agentrl.environments.webshop.original import OriginalGoals, draw
from agentrl.environments.webshop.panels import WebShopTask
from agentrl.environments.webshop.tasks import catalogue_goals
from agentrl.tasks import TaskSet

GOLDEN = "webshop_original_engine_golden.json.xz"


@pytest.fixture(scope="module")
def golden(official_folder):
    with lzma.open(official_folder / GOLDEN) as file:
        return json.load(file)


@pytest.fixture(scope="module")
def goals(golden, official_folder):
    """The goals of the recorded run; something had taken one word from its generator before."""
    shop, table, _ = catalogue_goals(official_folder, "synthetic")
    rng = Random(golden["price_seed"])
    rng.getrandbits(32)
    return OriginalGoals(shop.products, table, "synthetic", draw(table, "synthetic", rng))


def make(goals, mode, folder):
    """Make the environment with the recorded run's goals as its tasks, named by position."""
    env = WebShop(mode=mode, data=folder, max_turns=100)
    ids = [str(position) for position in range(len(goals))]
    env.tasks = TaskSet({"train": ids}, lambda i: WebShopTask(goals[int(i)], goals.prices, 7))
    return env


@pytest.mark.parametrize("mode", ["text", "text_rich"])
def test_recorded_episodes_agree_in_every_step(golden, goals, official_folder, mode):
    """Observations, what can be clicked and its order, reward, end, and all parts of the reward."""
    env = make(goals, mode, official_folder)
    episodes = [episode for episode in golden["episodes"] if episode["mode"] == mode]
    disagreements = [found for episode in episodes for found in replay(env, episode)]
    assert len(episodes) == 60
    assert disagreements == []


def replay(env, episode):
    """Return each disagreement as (goal, action, ours, theirs)."""
    steps = iter(episode["steps"])
    first = next(steps)
    observation, info = env.reset(options={"task": str(episode["goal_index"])})
    found = compare("", (observation, info["available_actions"]), (first["obs"], first["avail"]))
    for step in steps:
        observation, reward, done, _, info = env.step(step["action"])
        available = None if done else info["available_actions"]
        ours = (observation, available, reward, done)
        theirs = tuple(step[key] for key in ("obs", "avail", "reward", "done"))
        found += compare(step["action"], ours, theirs)
    if "verbose" in episode:
        found += compare("parts", info.get("reward_parts"), episode["verbose"])
    return [(episode["goal_index"], *one) for one in found]


def compare(action, ours, theirs):
    return [] if ours == theirs else [(action, ours, theirs)]


def test_goals_and_prices_are_those_of_the_recorded_run(golden, goals):
    for episode in golden["episodes"]:
        goal, recorded = goals[episode["goal_index"]], episode["goal"]
        assert goal.text == recorded["instruction_text"]
        assert (goal.asin, goal.price_upper) == (recorded["asin"], recorded["price_upper"])
        assert list(goal.attributes) == recorded["attributes"]
        assert dict(goal.options) == recorded["goal_options"]
    products = goals.prices.products
    prices = {asin: goals.prices.of(products.by_asin(asin)) for asin in golden["prices"]}
    assert prices == golden["prices"]
