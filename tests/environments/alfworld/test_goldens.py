"""The native engine against recordings of the original engine, word for word."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from agentrl.environments.alfworld import Engine, generate
from agentrl.environments.alfworld.parse import parse_game

FIXTURE = Path(__file__).parent / "fixtures" / "generated_goldens.jsonl"


def digest(commands):
    return hashlib.sha1("\n".join(commands).encode()).hexdigest()[:12]


def test_generated_games_play_as_in_the_original_engine():
    """18 of our generated games, as the original engine played them from their PDDL export."""
    episodes = [json.loads(line) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]
    assert len(episodes) == 18
    for episode in episodes:
        game = generate(episode["level"], episode["seed"])
        assert game.id == episode["id"], "the generator changed: record the fixture again"
        engine = Engine(game)
        assert engine.introduction() == episode["introduction"]
        for action, feedback, won, commands in episode["steps"]:
            assert engine.step(action) == feedback, action
            assert (engine.won, digest(engine.admissible())) == (won, commands), action
    assert sum(episode["steps"][-1][2] for episode in episodes) >= 12


def test_official_recordings_agree_in_every_step(official_rows):
    """All 400 recorded episodes: feedback, commands, score, won and done."""
    episodes = {row["id"]: row for row in official_rows("goldens")}
    disagreements, played = [], set()
    for split in ("train", "valid_seen"):
        for row in official_rows(split):
            episode = episodes.get(row["id"])
            if episode is not None:
                played.add(row["id"])
                game = parse_game(row["pddl_problem"], row["goal"], game_id=row["id"])
                disagreements += replay(Engine(game), episode)
    assert played == episodes.keys()
    assert disagreements == []


def replay(engine, episode):
    """Return each disagreement as (game, action, ours, theirs)."""
    first = episode["first"]
    pairs = [("", (engine.introduction(), engine.admissible()), tuple(first.values()))]
    for step in episode["steps"]:
        feedback = engine.step(step["action"])
        ours = (feedback, engine.score, engine.won, engine.won, digest(engine.admissible()))
        theirs = tuple(
            step[key] for key in ("feedback", "score", "won", "done", "admissible_sha1_12")
        )
        pairs.append((step["action"], ours, theirs))
    return [(episode["id"], *pair) for pair in pairs if pair[1] != pair[2]]


def test_official_walkthroughs_win(official_rows):
    for split in ("valid_seen", "valid_train"):
        for row in official_rows(split):
            engine = Engine(parse_game(row["pddl_problem"], row["goal"]))
            for command in row["walkthrough"]:
                assert command in engine.admissible()
                engine.step(command)
            assert engine.won, row["id"]
