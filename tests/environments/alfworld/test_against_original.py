"""The native engine beside the original one, by the conformance program and its actions."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from agentrl.environments.alfworld import Engine, generate
from agentrl.environments.alfworld.export import to_game_file, to_pddl
from agentrl.environments.alfworld.official import official
from agentrl.environments.alfworld.original import borrow, give_back, stock_rules
from agentrl.environments.alfworld.planner import plan


@pytest.fixture(scope="module")
def original():
    engine = borrow()
    yield engine
    give_back(engine)


@pytest.fixture(scope="module")
def conformance():
    folder = str(Path(__file__).resolve().parents[2] / "conformance")
    sys.path.insert(0, folder)
    try:
        import alfworld_conformance

        yield alfworld_conformance
    finally:
        sys.path.remove(folder)


@pytest.mark.slow
@pytest.mark.parametrize("level", [2, 4, 6])
def test_generated_games(original, level):
    game, rng = generate(level, 900), random.Random(level)
    engine = Engine(game)
    assert original.reset(to_game_file(game, *stock_rules())) == engine.introduction()
    for _ in range(15):
        assert original.admissible == engine.admissible()
        command = rng.choice([c for c in engine.admissible() if c != "help"])
        assert original.step(command) == engine.step(command), command
        assert (original.won, original.done, original.score) == (
            engine.won,
            engine.won,
            engine.score,
        )


@pytest.mark.slow
def test_five_official_games(original, conformance, official_rows):
    """Random and adversarial actions; the program plays 400 such games (see the card)."""
    data = official()
    splits = ["train", "valid_seen", "valid_train"]
    chosen = conformance.choose(data, splits, 18, 5)[::4]
    assert len(chosen) == 5
    assert {task.partition("/")[0] for task in chosen} == set(splits)
    for task in chosen:
        episode = conformance.play(data, original, task, 12, 5)
        assert episode.differences == [], task
        assert sum(episode.kinds.values()) == 12


@pytest.fixture
def small_release(tmp_path):
    """Three games as a packed split, with the rules that the package brings."""
    games = [generate(2, seed) for seed in range(3)]
    with (tmp_path / "valid_unseen.jsonl").open("w") as file:
        for number, game in enumerate(games):
            row = {
                "id": f"{game.goal.task_type.value}-X-{number}/trial",
                "goal": game.goal.sentence,
                "pddl_problem": to_pddl(game),
                "walkthrough": plan(Engine(game)),
            }
            file.write(json.dumps(row) + "\n")
    domain, grammar = stock_rules()
    (tmp_path / "domain.pddl").write_text(domain)
    # The answer to `help` begins with an empty line there, and with none in the official games.
    (tmp_path / "grammar.twl2").write_text(grammar.replace('"rhs": "\\nAvail', '"rhs": "Avail'))
    return tmp_path


@pytest.mark.slow
def test_the_program_reports_and_goes_on(conformance, small_release, tmp_path, capsys, monkeypatch):
    results = tmp_path / "results" / "file.jsonl"
    words = ["--data", str(small_release), "--results", str(results), "--actions", "6", "--games"]
    assert conformance.main([*words, "1"]) == 0
    assert "0 walkthroughs and 0 of 1 games differ" in capsys.readouterr().out
    kept = results.read_text()
    step = Engine.step
    monkeypatch.setattr(Engine, "step", lambda self, command: step(self, command).upper())
    assert conformance.main([*words, "2"]) == 1
    shown = capsys.readouterr().out
    assert "0 walkthroughs and 1 of 2 games differ" in shown
    assert '"what": "observation"' in shown
    assert results.read_text().startswith(kept)
    assert len(results.read_text().splitlines()) == 2


def test_a_walkthrough_that_does_not_win_is_counted(conformance, small_release, capsys):
    file = small_release / "valid_unseen.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["walkthrough"] = rows[0]["walkthrough"][:-1]
    rows[1]["walkthrough"] = ["go nowhere", *rows[1]["walkthrough"]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert conformance.main(["--data", str(small_release), "--games", "0"]) == 1
    assert "2 walkthroughs and 0 of 0 games differ" in capsys.readouterr().out
