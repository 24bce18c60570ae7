"""Generated games: solvable, reproducible, graded, and disjoint between splits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from agentrl.environments.alfworld import LEVELS, Engine, Level, generate, split_game
from agentrl.environments.alfworld.export import to_pddl
from agentrl.environments.alfworld.game import TaskType, members
from agentrl.environments.alfworld.official import KNOWN_DIGESTS, official
from agentrl.environments.alfworld.parse import parse_game
from agentrl.environments.alfworld.planner import plan
from agentrl.environments.alfworld.tasks import generated_tasks
from agentrl.environments.alfworld.vocabulary import object_kinds, room_kinds
from agentrl.errors import ConfigError, TaskError

SEEDS = range(120)


@pytest.mark.parametrize("level", LEVELS)
def test_every_game_can_be_won_and_is_not_won_at_the_start(level):
    for seed in SEEDS:
        engine = Engine(generate(level, seed))
        assert not engine.won
        for command in plan(engine) or []:
            assert command in engine.admissible()
            engine.step(command)
        assert engine.won, (level, seed)


@pytest.mark.parametrize("level", LEVELS)
def test_direct_and_parsed_forms_are_the_same_game(level):
    for seed in range(40):
        game = generate(level, seed)
        assert parse_game(to_pddl(game), game.goal.sentence) == game


def test_same_level_and_seed_give_the_same_game():
    for level in LEVELS:
        assert generate(level, 7) == generate(level, 7)
        assert generate(level, 7) != generate(level, 8)
        assert generate(level, 7) != generate(level, 7, attempt=1)
    assert len({generate(1, seed).id for seed in range(500)}) > 490


def test_levels_grow():
    sizes = [
        sum(len(generate(level, seed).receptacles) for seed in SEEDS) / len(SEEDS)
        for level in LEVELS
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < 5
    assert sizes[-1] > 15


@pytest.mark.parametrize("level", LEVELS)
def test_levels_keep_their_limits(level):
    setting = LEVELS[level]
    games = [generate(level, seed) for seed in range(200)]
    assert {game.goal.task_type for game in games} == set(setting.task_types)
    if setting.receptacles is not None:
        fewest, most = setting.receptacles
        assert all(fewest <= len(game.receptacles) <= most for game in games)
    if level == 1:
        assert not any(game.traits.openable for game in games)


def test_full_rooms_use_the_whole_vocabulary_in_all_four_rooms():
    games = [generate(6, seed) for seed in range(600)]
    seen = {name.split()[0] for game in games for name in (*game.objects, *game.receptacles)}
    known = {piece.receptacle for room in room_kinds().values() for piece in room.furniture}
    assert seen == known | object_kinds().keys()
    assert any(len(group) > 1 for game in games for group in game.at_place.values())
    wordings = Counter(game.goal.sentence.split()[0] for game in games)
    assert set(wordings) == {"put", "find", "clean", "heat", "cool", "look", "examine"}


def test_objects_lie_where_people_would_look_for_them():
    places = Counter()
    for seed in range(400):
        game = generate(6, seed)
        for receptacle, inside in enumerate(game.start.contents):
            for item in inside:
                if game.objects[item].startswith("apple "):
                    places[game.receptacles[receptacle].split()[0]] += 1
    total = sum(places.values())
    assert total > 100
    assert places["fridge"] / total > 0.12
    assert not {"cabinet", "drawer", "stoveburner", "toaster"} & places.keys()


def test_everything_that_can_be_taken_can_be_put_back():
    for seed in SEEDS:
        game = generate(6, seed)
        for receptacle, inside in enumerate(game.start.contents):
            for item in inside:
                if game.traits.pickupable >> item & 1:
                    assert game.accepts[item] >> receptacle & 1


def test_wanted_objects_never_start_at_the_goal():
    for seed in SEEDS:
        game = generate(5, seed)
        for receptacle in members(game.goal.receptacles):
            assert not any(game.goal.objects >> o & 1 for o in game.start.contents[receptacle])


def test_splits_share_no_layout():
    hashes = {
        split: {split_game(1, split, index).layout_hash for index in range(300)}
        for split in ("train", "valid", "test")
    }
    assert not hashes["train"] & hashes["valid"]
    assert not hashes["train"] & hashes["test"]
    assert not hashes["valid"] & hashes["test"]
    assert len(hashes["test"]) > 290


def test_layout_hash_ignores_the_wording_only():
    game = generate(3, 5)
    reworded = replace(game, goal=replace(game.goal, sentence="do it"), id="")
    assert reworded.layout_hash == game.layout_hash
    assert reworded.id != game.id
    assert replace(game, goal=replace(game.goal, objects=0)).layout_hash != game.layout_hash


def test_mixed_difficulty_draws_from_all_levels():
    tasks = generated_tasks((1, 4))
    sizes = {len(tasks.get(f"train/{index}").data.receptacles) <= 5 for index in range(40)}
    assert sizes == {True, False}
    assert tasks.get("test/3").data == tasks.get("test/3").data
    assert tasks.fingerprint("valid/0") == tasks.get("valid/0").data.layout_hash


def test_a_level_of_ones_own():
    level = Level("heat only", (TaskType.HEAT,), (6, 6), (4, 4), rooms=("kitchen",))
    games = [generate(level, seed) for seed in range(20)]
    assert {game.goal.task_type for game in games} == {TaskType.HEAT}
    assert {len(game.receptacles) for game in games} == {6}


def test_impossible_requests_are_explained():
    with pytest.raises(ConfigError, match="unknown ALFWorld difficulty 9"):
        generate(9, 0)
    with pytest.raises(ConfigError, match="no room for its task types"):
        generate(Level("odd", (TaskType.HEAT,), None, None, rooms=("bathroom",)), 0)
    with pytest.raises(ConfigError, match="names no level"):
        generated_tasks(())
    with pytest.raises(TaskError, match="unknown split 'tests'; did you mean 'test'"):
        split_game(1, "tests", 0)


def test_every_generated_object_lies_in_one_receptacle_and_is_no_light_switch():
    """What keeps generated games and official ones apart; see the next test."""
    assert "lightswitch" not in object_kinds()
    for level in LEVELS:
        for seed in SEEDS:
            game = generate(level, seed)
            inside = [item for contents in game.start.contents for item in contents]
            assert sorted(inside) == list(range(len(game.objects)))


@pytest.mark.slow
def test_generated_games_are_never_official_ones(official_rows):
    """Every official room has a light switch, which lies in no receptacle; no generated one has."""
    official_hashes = set()
    for name in KNOWN_DIGESTS:
        split = official().splits[name]
        for task in split:
            game = split.game(task)
            assert "lightswitch 1" in game.objects
            assert len({item for inside in game.start.contents for item in inside}) < len(
                game.objects
            )
            official_hashes.add(game.layout_hash)
    assert len(official_hashes) == 3893
    generated = {
        split_game(tuple(LEVELS), split, index).layout_hash
        for split, count in (("train", 18_500), ("valid", 500), ("test", 1000))
        for index in range(count)
    }
    assert len(generated) > 19_000
    assert not official_hashes & generated
