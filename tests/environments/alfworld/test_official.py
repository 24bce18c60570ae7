"""The official games: every form they come in, their hashes, and files that are damaged."""

from __future__ import annotations

import json
import lzma
import warnings
from functools import partial

import pytest

from agentrl.environments.alfworld import AlfWorld, Engine, generate
from agentrl.environments.alfworld.export import to_pddl
from agentrl.environments.alfworld.official import (
    KNOWN_DIGESTS,
    OFFICIAL_SPLITS,
    Official,
    named_panels,
    official,
)
from agentrl.environments.alfworld.records import read_game_file
from agentrl.errors import TaskError
from agentrl.evaluation.panel import Panel
from agentrl.tasks import panel_digest

GRAMMAR = """grammar :: \"\"\"
    {{ "task": [ {{ "rhs": "{goal}" }} ] }}
\"\"\";
action PutObject {{ template :: "{put}"; }}
"""
MOVE, PUT = "move {o} to {r}", "put {o} in/on {r}"


def name_of(number):
    return f"pick_and_place_simple-Mug-None-Desk-{number}/trial_T2019_{number}"


def rows_of(games):
    return [
        {
            "id": name_of(number),
            "goal": f"Your task is to: {game.goal.sentence}",
            "pddl_problem": to_pddl(game),
            "walkthrough": ["look"],
        }
        for number, game in enumerate(games)
    ]


def write_packed(folder, split, rows, suffix=".jsonl.xz"):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    opened = lzma.open if suffix.endswith("xz") else open
    with opened(folder / f"{split}{suffix}", "wt", encoding="utf-8") as file:
        file.write(text)


def write_folders(folder, rows, *, put=MOVE, is_older=False):
    for row in rows:
        place = folder / row["id"]
        place.mkdir(parents=True)
        goal = "UNKNOWN GOAL." if is_older else row["goal"]
        content = {"pddl_domain": "", "grammar": GRAMMAR.format(goal=goal, put=put)}
        if is_older:
            (place / "initial_state.pddl").write_text(row["pddl_problem"], encoding="utf-8")
            (place / "traj_data.json").write_text(
                json.dumps(
                    {
                        "task_type": "pick_and_place_simple",
                        "pddl_params": {
                            "object_target": "Mug",
                            "parent_target": "Desk",
                            "toggle_target": "",
                        },
                    }
                ),
                encoding="utf-8",
            )
        else:
            content |= {key: row[key] for key in ("pddl_problem", "walkthrough")}
            content["solvable"] = True
        (place / "game.tw-pddl").write_text(json.dumps(content), encoding="utf-8")


FORMS = {
    "packed": lambda folder, rows: write_packed(folder, "valid_unseen", rows),
    "packed, not compressed": lambda folder, rows: write_packed(
        folder, "valid_unseen", rows, ".jsonl"
    ),
    "packed in another order": lambda folder, rows: write_packed(
        folder, "valid_unseen", rows[::-1]
    ),
    "folders": lambda folder, rows: write_folders(folder / "valid_unseen", rows),
    "the release": lambda folder, rows: write_folders(folder / "json_2.1.1" / "valid_unseen", rows),
}


@pytest.fixture(scope="module")
def rows():
    return rows_of([generate(6, seed) for seed in range(4)])


def write(folder, form, rows):
    folder.mkdir()
    FORMS[form](folder, rows)
    return Official(folder).splits["valid_unseen"]


def test_all_forms_hold_the_same_games_in_the_same_order_under_one_hash(tmp_path, rows):
    splits = [write(tmp_path / str(n), form, rows) for n, form in enumerate(FORMS)]
    assert {tuple(split) for split in splits} == {
        tuple(f"valid_unseen/{name_of(number)}" for number in range(4))
    }
    assert len({split.digest for split in splits}) == 1
    for split in splits:
        assert [split.game(task).layout_hash for task in split] == [
            generate(6, seed).layout_hash for seed in range(4)
        ]
        assert split.walkthrough(split[0]) == ("look",)


@pytest.mark.parametrize("change", ["goal", "problem", "name", "one less", "release"])
def test_whatever_decides_how_a_game_plays_changes_the_hash(tmp_path, rows, change):
    before = write(tmp_path / "before", "packed", rows).digest
    changed = [dict(row) for row in rows]
    if change == "goal":
        changed[1]["goal"] += " "
        assert write(tmp_path / "blank", "packed", changed).digest == before
        changed[1]["goal"] = "Your task is to: dance."
    elif change == "problem":
        changed[1]["pddl_problem"] = changed[1]["pddl_problem"].replace("(openable", "(opened", 1)
    elif change == "name":
        changed[1]["id"] += "0"
    elif change == "one less":
        changed.pop()
    if change == "release":
        write_folders(tmp_path / "valid_unseen", changed, put=PUT)
        assert Official(tmp_path).splits["valid_unseen"].digest != before
    else:
        assert write(tmp_path / "after", "packed", changed).digest != before


def test_the_name_of_the_trial_in_the_problem_does_not_matter(tmp_path, rows):
    renamed = [
        {**row, "pddl_problem": row["pddl_problem"].replace("(problem ", "(problem x")}
        for row in rows
    ]
    assert renamed != rows
    digests = {write(tmp_path / str(n), "packed", r).digest for n, r in enumerate((rows, renamed))}
    assert len(digests) == 1


def test_older_release(tmp_path, rows):
    write_folders(tmp_path / "json_2.1.1" / "valid_unseen", rows, put=PUT, is_older=True)
    env = AlfWorld(source="official", split="valid_unseen", data=tmp_path, expert="planner")
    observation, info = env.reset(options={"task": f"valid_unseen/{name_of(2)}"})
    assert observation.endswith("Your task is to: put some mug on desk.")
    while not info["success"]:
        _, _, _, truncated, info = env.step(info["expert_action"])
        assert not truncated
    assert env.engine.game.phrases.put_command == PUT


def test_a_split_of_other_games_is_told(tmp_path, rows):
    write_packed(tmp_path, "valid_seen", rows)
    with pytest.warns(UserWarning, match="4 ALFWorld games of 'valid_seen' in .* are valid_seen@"):
        len(Official(tmp_path).splits["valid_seen"])
    write_packed(tmp_path, "valid_unseen", rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        len(Official(tmp_path).splits["valid_unseen"])


def test_unknown_tasks_and_splits(tmp_path, rows):
    write_packed(tmp_path, "valid_unseen", rows)
    env = AlfWorld(source="official", split="valid_unseen", data=tmp_path)
    right = f"valid_unseen/{name_of(2)}"
    wrong = right.replace("Mug", "Mgu")
    with pytest.raises(TaskError, match=f"unknown task {wrong!r}; did you mean {right!r}"):
        env.reset(options={"task": wrong})
    with pytest.raises(TaskError, match="unknown split 'valid_unsen'; did you mean 'valid_unseen'"):
        AlfWorld(source="official", split="valid_unsen", data=tmp_path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"", "truncated"),
        (b"[1, 2]", "Expected `object`"),
        (b'{"id": "a", "goal": "b", "pddl_problem": 5}', "Expected `str`"),
        (b'{"id": "a", "goal": "b"}', "missing required field `pddl_problem`"),
        (b'{"id": "a", "goal": "b", "pddl_pro', "malformed"),
        (b'{"id": "\xff"}', "utf-8"),
    ],
)
def test_damaged_lines_are_named(tmp_path, rows, line, complaint):
    good = json.dumps(rows[0]).encode()
    with lzma.open(tmp_path / "valid_unseen.jsonl.xz", "wb") as file:
        file.write(good + b"\n" + line + b"\n")
    with pytest.raises(TaskError, match=r"jsonl\.xz, line 2 is damaged: ") as raised:
        len(Official(tmp_path).splits["valid_unseen"])
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_game_that_comes_twice_is_named(tmp_path, rows):
    write_packed(tmp_path, "valid_unseen", [*rows, rows[1]])
    with pytest.raises(TaskError, match=r"line \d is damaged: the game .* is also at .*line \d"):
        len(Official(tmp_path).splits["valid_unseen"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("not json", "Expecting value"),
        ("[]", "holds no JSON object"),
        ('{"solvable": true}', "it has no 'grammar'"),
        ('{"grammar": "x", "solvable": true}', "initial_state.pddl"),
    ],
)
def test_damaged_game_files_are_named(tmp_path, content, complaint):
    file = tmp_path / "valid_unseen" / "task" / "trial" / "game.tw-pddl"
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")
    for read in (
        partial(read_game_file, file),
        lambda: len(Official(tmp_path).splits["valid_unseen"]),
    ):
        with pytest.raises(TaskError, match=r"cannot read the game .*game\.tw-pddl: ") as raised:
            read()
        assert complaint in str(raised.value)


def test_games_are_compiled_once(tmp_path, rows):
    split = write(tmp_path / "a", "packed", rows)
    assert split.game(split[0]) is split.game(split[0])
    assert Engine(split.game(split[0])).introduction()


def test_panels_are_named_by_their_content(tmp_path, rows, monkeypatch):
    """The split's name is that of the evaluation panel of all its tasks."""
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path))
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "cache"))
    assert named_panels() == {}
    (tmp_path / "alfworld").mkdir()
    write_packed(tmp_path / "alfworld", "valid_unseen", rows)
    official.__globals__["_official"].cache_clear()
    env = AlfWorld(source="official", split="valid_unseen")
    panel = Panel.first("alfworld", env.tasks, "valid_unseen", 100)
    assert named_panels() == {panel.name: 4}
    assert AlfWorld.panels() == {panel.name: 4}
    assert panel.name == f"valid_unseen@{panel_digest(panel.fingerprints)}"
    assert Panel.first("alfworld", env.tasks, "valid_unseen", 2).name != panel.name


def test_official_splits_are_what_they_were(official_rows):
    splits = official().splits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {name: splits[name].digest for name in KNOWN_DIGESTS}
    assert found == KNOWN_DIGESTS
    assert [len(splits[name]) for name in KNOWN_DIGESTS] == [3553, 140, 200]
    assert set(OFFICIAL_SPLITS) - set(KNOWN_DIGESTS) == {"valid_unseen"}


def test_official_splits_share_no_game(official_rows):
    prints = [
        {split.fingerprint(task) for task in split}
        for split in (official().splits[name] for name in KNOWN_DIGESTS)
    ]
    assert len(set.union(*prints)) == 3553 + 140 + 200
