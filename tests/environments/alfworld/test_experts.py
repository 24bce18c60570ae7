"""Both experts: the one that searches with a person's knowledge and the one that knows all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agentrl.environments.alfworld import (
    LEVELS,
    AlfWorld,
    Engine,
    Planner,
    SearchExpert,
    generate,
    planner,
)
from agentrl.environments.alfworld.game import OLDER
from agentrl.environments.alfworld.memory import Memory, read_goal
from agentrl.environments.alfworld.parse import parse_game
from agentrl.environments.alfworld.planner import plan

LIMIT = 50


def search(game, seed, noise=0.0):
    """Play with the searching expert; return the number of steps, or None when it failed."""
    engine, rng = Engine(game), np.random.default_rng([seed, 1])
    expert = SearchExpert(engine.introduction(), np.random.default_rng(seed), phrases=game.phrases)
    for step in range(LIMIT):
        action = expert.act()
        if rng.random() < noise:
            action = engine.admissible()[int(rng.integers(len(engine.admissible())))]
        expert.observe(action, engine.step(action))
        if engine.won:
            return step + 1
    return None


@pytest.mark.parametrize("level", LEVELS)
def test_search_wins_generated_games(level):
    wins = [search(generate(level, seed), seed) for seed in range(100)]
    assert sum(steps is not None for steps in wins) >= 98


def test_search_copes_with_somebody_elses_random_actions():
    wins = [search(generate(6, seed), seed, noise=0.3) for seed in range(100)]
    assert sum(steps is not None for steps in wins) >= 93


def test_search_takes_longer_than_planning_because_it_does_not_know():
    games = [generate(6, seed) for seed in range(100)]
    searched = [search(game, seed) or LIMIT for seed, game in enumerate(games)]
    planned = [len(plan(Engine(game)) or []) for game in games]
    assert sum(searched) > 1.3 * sum(planned)
    assert all(one >= other for one, other in zip(searched, planned, strict=True))


def test_search_depends_on_what_was_seen_alone():
    """Two games that differ only in where hidden things are get the same first advice."""
    game = generate(5, 3)
    shuffled = game.start.contents[::-1]
    other = replace(game, start=replace(game.start, contents=shuffled), id="")
    assert Engine(game).introduction() == Engine(other).introduction()
    advice = [
        SearchExpert(Engine(one).introduction(), np.random.default_rng(0)).act()
        for one in (game, other)
    ]
    assert advice[0] == advice[1]


def test_search_varies_with_the_generator_and_repeats_with_the_seed():
    introduction = Engine(generate(6, 0)).introduction()
    firsts = [SearchExpert(introduction, np.random.default_rng(seed)).act() for seed in range(30)]
    again = [SearchExpert(introduction, np.random.default_rng(seed)).act() for seed in range(30)]
    assert firsts == again
    assert len(set(firsts)) > 2


def test_advice_stays_until_something_is_observed():
    expert = SearchExpert(Engine(generate(6, 1)).introduction(), np.random.default_rng(0))
    assert len({expert.act() for _ in range(20)}) == 1


def test_search_plays_the_older_release(kitchen):
    for goal in ("heat", "look", "two"):
        assert search(kitchen(goal, OLDER), 0) is not None


def test_search_on_official_games(official_rows):
    games = [
        parse_game(row["pddl_problem"], row["goal"], game_id=row["id"])
        for row in official_rows("valid_seen")
    ]
    wins = [search(game, seed) for seed, game in enumerate(games)]
    assert sum(steps is not None for steps in wins) >= 0.95 * len(games)


def test_memory_keeps_up_with_moves(kitchen):
    engine = Engine(kitchen("two"))
    memory = Memory(engine.introduction())
    for action in (
        "go to fridge 1",
        "open fridge 1",
        "take apple 1 from fridge 1",
        "go to countertop 1",
    ):
        memory.observe(action, engine.step(action))
    assert memory.held == "apple 1"
    assert memory.contents["fridge 1"] == set()
    assert memory.whereabouts("apple") == [("apple 2", "countertop 1")]
    assert memory.here == "countertop 1"
    memory.observe("move apple 1 to countertop 1", engine.step("move apple 1 to countertop 1"))
    assert memory.held is None
    assert len(memory.whereabouts("apple")) == 2


def test_memory_learns_that_neighbours_share_a_location(kitchen):
    engine = Engine(kitchen())
    memory = Memory(engine.introduction())
    for action in ("go to cabinet 1", "go to cabinet 2"):
        memory.observe(action, engine.step(action))
    assert memory.is_reachable("cabinet 2")
    assert not memory.is_reachable("fridge 1")


@pytest.mark.parametrize(
    ("sentence", "meaning"),
    [
        ("put some mug on desk.", ("pick_and_place_simple", "mug", "desk")),
        ("put a mug in desk.", ("pick_and_place_simple", "mug", "desk")),
        ("look at cd under the desklamp.", ("look_at_obj_in_light", "cd", "desklamp")),
        ("examine the cd with the desklamp.", ("look_at_obj_in_light", "cd", "desklamp")),
        ("put a clean mug in desk.", ("pick_clean_then_place_in_recep", "mug", "desk")),
        ("clean some mug and put it in desk.", ("pick_clean_then_place_in_recep", "mug", "desk")),
        ("put a hot mug in desk.", ("pick_heat_then_place_in_recep", "mug", "desk")),
        ("heat some mug and put it in desk.", ("pick_heat_then_place_in_recep", "mug", "desk")),
        ("put a cool mug in desk.", ("pick_cool_then_place_in_recep", "mug", "desk")),
        ("cool some mug and put it in desk.", ("pick_cool_then_place_in_recep", "mug", "desk")),
        ("put two mug in desk.", ("pick_two_obj_and_place", "mug", "desk")),
        ("find two mug and put them in desk.", ("pick_two_obj_and_place", "mug", "desk")),
    ],
)
def test_goal_sentences_are_understood(sentence, meaning):
    wish = read_goal(sentence)
    assert wish is not None
    assert (wish.task_type, wish.object_type, wish.goal_type) == meaning


def test_unknown_goals_get_harmless_advice():
    expert = SearchExpert("Your task is to: sing.", np.random.default_rng(0))
    assert expert.act() == "look"


def test_planner_wins_from_wherever_others_went():
    for seed in range(60):
        engine, rng = Engine(generate(6, seed)), np.random.default_rng(seed)
        planner = Planner(engine)
        for step in range(60):
            commands = engine.admissible()
            chance = commands[int(rng.integers(len(commands)))]
            action = chance if step < 15 else planner.act()
            planner.observe(action, engine.step(action))
            if engine.won:
                break
        assert engine.won, seed


def test_planner_keeps_its_plan_while_it_is_followed():
    engine = Engine(generate(6, 2))
    first, followed = plan(engine), []
    planner = Planner(engine)
    while not engine.won:
        followed.append(planner.act())
        planner.observe(followed[-1], engine.step(followed[-1]))
    assert followed == first


def test_planner_says_look_when_the_game_is_lost(kitchen):
    game = kitchen("heat")
    lost = replace(game, traits=replace(game.traits, microwaves=0))
    assert plan(Engine(lost)) is None
    assert Planner(Engine(lost)).act() == "look"


def test_planner_is_as_short_as_the_official_walkthroughs(official_rows):
    for row in official_rows("valid_train"):
        engine = Engine(parse_game(row["pddl_problem"], row["goal"]))
        assert len(plan(engine) or []) == len(row["walkthrough"]), row["id"]


@pytest.mark.parametrize("expert", ["search", "planner"])
def test_asking_twice_costs_nothing(expert, monkeypatch):
    """Neither the same question again nor, for the planner, a situation that was met before."""
    env = AlfWorld(difficulty=6, expert=expert)
    _, info = env.reset(options={"task": "valid/3"})
    decided = count_decisions(monkeypatch)
    assert {env.expert_action() for _ in range(5)} == {info["expert_action"]}
    assert decided == []


def test_a_situation_met_before_has_its_plan(monkeypatch):
    env = AlfWorld(difficulty=6, expert="planner")
    _, info = env.reset(options={"task": "valid/4"})
    decided = count_decisions(monkeypatch)
    for _ in range(3):
        _, _, _, _, info = env.step("look")
        _, _, _, _, info = env.step("nonsense")
    assert decided == []
    there, back = [c for c in info["admissible_actions"] if c.startswith("go to ")][:2]
    for action in (there, back, there, back, there):
        _, _, _, _, info = env.step(action)
    assert len(decided) <= 2
    # Another episode of the same game, on another environment.
    met = len(decided)
    other = AlfWorld(difficulty=6, expert="planner")
    other.reset(options={"task": "valid/4"})
    other.step(there)
    other.step(back)
    assert len(decided) == met


def count_decisions(monkeypatch):
    """Note each time that an expert has to think."""
    decided = []
    search, planned = SearchExpert._decide, planner._make_plan
    monkeypatch.setattr(SearchExpert, "_decide", lambda self: decided.append(1) or search(self))
    monkeypatch.setattr(planner, "_make_plan", lambda engine: decided.append(1) or planned(engine))
    return decided
