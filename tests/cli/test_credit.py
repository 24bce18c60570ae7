"""`agentrl credit`: run directories and files, what is shown, and one line for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentrl import storage
from agentrl.cli.credit_source import read_list
from agentrl.config import build_config
from agentrl.credit import Stored, assign, explain, write_credit
from agentrl.credit.records import stored_records
from agentrl.errors import ConfigError
from agentrl.run import RunDirectory
from agentrl.trajectory import Outcome, Trajectory, Turn

Run = Callable[..., tuple[int, str, str]]

KITCHEN = {"state_key": "kitchen", "action": "take key", "observation": "Taken."}
LINES: list[dict[str, Any]] = [
    {
        "group": "doors",
        "id": "0",
        "outcome": 1.0,
        "turns": [{"state_key": "hall", "action": "go", "observation": "A kitchen."}, KITCHEN],
    },
    {"group": "walls", "id": "0", "outcome": 0.0, "turns": [KITCHEN]},
    {
        "group": "doors",
        "id": "1",
        "outcome": 0.0,
        "turns": [
            {"state_key": "hall", "action": "go", "observation": "A kitchen."},
            {"state_key": "kitchen", "action": "wait\x1b[31m\nlong", "observation": "Nothing."},
        ],
    },
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rollouts.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in LINES))
    return path


def episode(group: str, name: str, outcome: Outcome, actions: str) -> Trajectory:
    seen = ["start", *(f"after {action}" for action in actions)]
    turns = [
        Turn(seen[t], action, valid=action != "x", response_ids=np.ones(2, np.int32))
        for t, action in enumerate(actions)
    ]
    if outcome is Outcome.SUCCESS:
        turns[-1].reward = 1.0
    return Trajectory(name, group, f"task of {group}", turns, outcome, final_observation=seen[-1])


def update(number: int) -> list[Trajectory]:
    groups = [f"{number:06d}/{place:03d}" for place in range(2)]
    return [
        episode(groups[0], f"{groups[0]}/0", Outcome.SUCCESS, "abx"),
        episode(groups[0], f"{groups[0]}/1", Outcome.FAILURE, "acc"),
        episode(groups[1], f"{groups[1]}/0", Outcome.TIMEOUT, "a"),
        episode(groups[1], f"{groups[1]}/1", Outcome.SUCCESS, "a"),
        episode(groups[0], f"{groups[0]}/2", Outcome.SUCCESS, "ab"),
    ]


@pytest.fixture
def run_directory(tmp_path: Path) -> RunDirectory:
    tree = {"credit": ["rloo"], "rewards": [{"invalid_action": {"penalty": 0.5}}]}
    made = RunDirectory.create(tmp_path / "run", build_config(tree, "test"))
    for number in (1, 2):
        storage.write(made.trajectory_file(number), update(number))
    return made


def printed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_line_per_trajectory_in_input_order(run: Run, file: Path) -> None:
    code, out, err = run("credit", str(file), "--credit", "grpo,salt", "--json")
    assert (code, err) == (0, "")
    rows = printed(out)
    assert [(row["group"], row["id"]) for row in rows] == [
        ("doors", "0"),
        ("walls", "0"),
        ("doors", "1"),
    ]
    stored = Stored.read(file)
    values = stored.per_trajectory(assign(stored.batch, ["grpo", "salt"]))
    assert [row["advantages"] for row in rows] == [part.tolist() for part in values]
    assert rows[0]["advantages"] == pytest.approx([0.0, 0.70710578])
    edge = rows[0]["why"][0][1]
    assert (edge["method"], edge["value"]) == ("salt", 0.0)
    assert edge["because"]["trajectories"] == ["0", "1"]


def test_a_table_for_people(run: Run, file: Path) -> None:
    code, out, _ = run("credit", str(file), "--credit", "grpo,salt")
    assert code == 0
    assert "2 groups · 3 trajectories · 5 turns · credit [grpo, salt]" in out
    assert "trajectory 0 of group doors: success, return 1, 2 turns" in out
    assert "grpo: +0.707 at every turn (return 1 against the mean 0.5" in out
    assert "taken 2 times by 2 episodes: their mean" in out
    assert "taken only here: keeps its value" in out


def test_one_trajectory_and_no_control_characters(run: Run, file: Path) -> None:
    words = ("credit", str(file), "--credit", "grpo,salt", "--group", "doors", "--trajectory", "1")
    code, out, _ = run(*words)
    assert code == 0
    assert "1 group · 1 trajectory" in out
    assert "wait" in out
    assert "\x1b" not in out
    code, out, _ = run(*words, "--json")
    assert [(row["group"], row["id"]) for row in printed(out)] == [("doors", "1")]


def test_a_group_shows_its_trajectories(run: Run, file: Path) -> None:
    _, out, _ = run("credit", str(file), "--credit", "grpo", "--group", "doors")
    assert "success" in out
    assert "failure" in out
    assert "walls" not in out


@pytest.mark.parametrize(
    ("text", "settings", "entries"),
    [
        ("grpo", (), ["grpo"]),
        ("grpo,salt", (), ["grpo", "salt"]),
        ("[grpo, {salt: {history: 1}}]", (), ["grpo", {"salt": {"history": 1}}]),
        ("grpo,{salt: {history: 1}}", (), ["grpo", {"salt": {"history": 1}}]),
        ("- grpo\n- salt", (), ["grpo", "salt"]),
        ("mine.py:Mine, salt", (), ["mine.py:Mine", "salt"]),
        ("grpo,salt", ("salt.history=1",), ["grpo", {"salt": {"history": 1}}]),
        ("grpo,mine.py:Mine", ("mine.py:Mine.k=[1]",), ["grpo", {"mine.py:Mine": {"k": [1]}}]),
        (
            "grpo,{salt: {history: 1}}",
            ("salt.history=2", "salt.matcher=normalised", "grpo.ddof=0"),
            [{"grpo": {"ddof": 0}}, {"salt": {"history": 2, "matcher": "normalised"}}],
        ),
    ],
)
def test_lists_and_settings(text: str, settings: tuple[str, ...], entries: list[Any]) -> None:
    assert read_list(text, settings) == entries


@pytest.mark.parametrize("text", ["grpo,[", "{", "grpo: salt: x"])
def test_a_list_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a list; write grpo,salt"):
        read_list(text)


def test_settings_change_the_credit(run: Run, file: Path) -> None:
    _, plain, _ = run("credit", str(file), "--credit", "rloo,gigpo", "--json")
    words = ("--credit", "rloo,gigpo", "--set", "gigpo.omega=0", "--json")
    assert run("credit", str(file), *words)[1] != plain


MISTAKES: list[tuple[list[str], str]] = [
    ([], "name the credit methods of a file, such as --credit grpo,salt"),
    (["--credit", "grpo,slat"], "did you mean 'salt'?"),
    (["--credit", "salt"], "must begin with an outcome estimator"),
    (["--credit", ""], "must begin with an outcome estimator"),
    (["--credit", "grpo,3"], "a credit entry is a name"),
    (["--credit", "grpo", "--set", "salt.history=1"], "no method 'salt' in the credit list"),
    (["--credit", "grpo", "--set", "grpo.dof=1"], "no parameter 'dof'; did you mean 'ddof'?"),
    (["--credit", "grpo", "--set", "grpo.ddof=x"], "Expected `int`"),
    (["--credit", "grpo", "--set", "ddof=1"], "is not of the form method.parameter=value"),
    (["--credit", "grpo", "--set", "grpo.ddof"], "is not of the form method.parameter=value"),
    (["--credit", "grpo", "--set", "grpo.ddof=["], "is not valid YAML"),
    (["--credit", "grpo", "--update", "3"], "--update is for run directories"),
    (["--credit", "grpo", "--group", "door"], "no group 'door'; did you mean 'doors'?"),
    (["--credit", "grpo", "--trajectory", "7"], "no trajectory '7'"),
    (["--credit", "grpo,empg"], "'empg' needs the signal 'entropy', but no turn has"),
    (["--credit", "grpo,igpo"], "give 'answer_logprob_before' on the first turn"),
    (["--credit", "grpo", "--colour"], "`agentrl credit --help` tells more"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_mistakes_are_one_line(run: Run, file: Path, words: list[str], message: str) -> None:
    code, out, err = run("credit", str(file), *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing.jsonl", "cannot read"),
        (".", "is not a run directory: it has no config.yaml"),
        ("binary", "line 1 is not JSON"),
        ("empty", "holds no trajectories: it is empty"),
    ],
)
def test_targets_that_are_none(run: Run, tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "empty").touch()
    code, out, err = run("credit", str(tmp_path / target), "--credit", "grpo")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_run_shows_its_latest_update_under_its_own_credit(
    run: Run, run_directory: RunDirectory
) -> None:
    code, out, _ = run("credit", str(run_directory.path))
    assert code == 0
    assert f"update 2 of {run_directory.path} · 2 groups · 5 trajectories" in out
    assert "credit [rloo]" in out
    assert "left out, as infrastructure failed and not the agent: timeout 1" in out
    assert "task of 000002/000" in out


def test_a_run_pays_rewards_as_training_did(run: Run, run_directory: RunDirectory) -> None:
    _, out, _ = run("credit", str(run_directory.path), "--update", "1", "--json")
    rows = {row["id"]: row for row in printed(out)}
    assert list(rows) == [episode.id for episode in update(1)]
    # Returns 0.5 (an invalid action cost 0.5), 0 and 1: each less the mean of the other two.
    expected = {"000001/000/0": 0.0, "000001/000/1": -0.75, "000001/000/2": 0.75}
    for name, value in expected.items():
        assert rows[name]["advantages"] == pytest.approx([value] * len(rows[name]["why"]))
    assert rows["000001/001/0"] == {
        "group": "000001/001",
        "id": "000001/001/0",
        "advantages": None,
        "why": [],
        "left_out": "timeout",
    }


def test_what_differs_from_training_is_said(run: Run, run_directory: RunDirectory) -> None:
    _, out, _ = run("credit", str(run_directory.path), "--credit", "spo")
    assert "note: spo knows nothing of the updates before this one here" in out
    _, out, _ = run("credit", str(run_directory.path))
    assert "note:" not in out


def test_an_update_that_is_not_there(run: Run, run_directory: RunDirectory) -> None:
    code, _, err = run("credit", str(run_directory.path), "--update", "9")
    assert code == 2
    assert "holds no trajectories of update 9; it has 1 to 2" in err


def test_a_run_without_trajectories(run: Run, tmp_path: Path) -> None:
    made = RunDirectory.create(tmp_path / "run", build_config({}, "test"))
    code, _, err = run("credit", str(made.path))
    assert code == 2
    assert "monitor.keep_trajectories was off" in err


def test_what_training_noted_is_shown(run: Run, run_directory: RunDirectory) -> None:
    stored = Stored.from_trajectories(update(2))
    explained = explain(stored.batch, "dr_grpo")
    noted = [r for r in stored_records(stored, explained) if r.advantages is not None]
    write_credit(run_directory.credit_file(2), noted)
    _, out, _ = run("credit", str(run_directory.path))
    assert "as training noted it" in out
    assert "credit [dr_grpo]" in out
    _, out, _ = run("credit", str(run_directory.path), "--credit", "rloo")
    assert "as training noted it" not in out
    code, _, err = run("credit", str(run_directory.path), "--credit", "grpo,empg")
    assert code == 2
    assert f"`agentrl credit {run_directory.path}` alone shows what training noted" in err


def test_a_hundred_groups_are_summed_up(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    lines = [{**LINES[0], "group": f"g{number}"} for number in range(100)]
    path.write_text("\n".join(map(json.dumps, lines)))
    _, out, _ = run("credit", str(path), "--credit", "grpo")
    assert "… and 80 more groups" in out
    _, out, _ = run("credit", str(path), "--credit", "grpo", "--trajectory", "0")
    assert out.count("\ntrajectory 0 of group") == 4
    assert "… and 96 more of this id; --group NAME picks one" in out
