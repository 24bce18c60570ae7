"""The official release, made small: packed, refused where damaged, and played."""

from __future__ import annotations

import json
import lzma
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

import agentrl
from agentrl.data import Fetched, Silent, get, source
from agentrl.environments.alfworld import generate, release
from agentrl.environments.alfworld.export import to_pddl
from agentrl.errors import DataError

ARCHIVE = "json_2.1.2_tw-pddl.zip"
DOMAIN = "(define (domain alfred) (:requirements :adl))"
GRAMMAR = 'grammar :: """ {"intro": [], "task": [ { "rhs": "@@TASK@@" } ]} """; move {o} to {r}'
GOAL = 'Your task is to: put a "nice" mug on desk.'


def game(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return what a `game.tw-pddl` holds."""
    content = {
        "pddl_domain": DOMAIN,
        "grammar": GRAMMAR.replace('"@@TASK@@"', json.dumps(GOAL)),
        "pddl_problem": to_pddl(generate(1, number)),
        "solvable": True,
        "walkthrough": ["look", f"go to desk {number}"],
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def path_of(split: str, number: int) -> str:
    return f"json_2.1.1/{split}/pick_and_place_simple-Mug-None-Desk-{number}/trial_1/game.tw-pddl"


def write_zip(file: Path, entries: dict[str, Any]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content if isinstance(content, str) else json.dumps(content))
    return file


def pack(file: Path, target: Path) -> Path:
    target.mkdir()
    release.pack({ARCHIVE: Fetched(file, is_ours=False)}, target, Silent())
    return target


def rows(file: Path) -> list[dict[str, Any]]:
    with lzma.open(file, "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    splits = {"train": 3, "valid_seen": 1, "valid_unseen": 2}
    games = {path_of(s, n): game(n) for s, count in splits.items() for n in range(count)}
    return write_zip(tmp_path / ARCHIVE, dict(reversed(games.items())))


def test_packing(small, tmp_path) -> None:
    folder = pack(small, tmp_path / "packed")
    names = {"train.jsonl.xz", "valid_seen.jsonl.xz", "valid_unseen.jsonl.xz"}
    assert {file.name for file in folder.iterdir()} == names | {"domain.pddl", "grammar.twl2"}
    packed = rows(folder / "train.jsonl.xz")
    assert packed[1] == {
        "goal": GOAL,
        "id": "pick_and_place_simple-Mug-None-Desk-1/trial_1",
        "pddl_problem": to_pddl(generate(1, 1)),
        "task_type": "pick_and_place_simple",
        "walkthrough": ["look", "go to desk 1"],
    }
    assert [row["id"][-9] for row in packed] == ["0", "1", "2"]
    assert (folder / "domain.pddl").read_text() == DOMAIN
    assert (folder / "grammar.twl2").read_text() == GRAMMAR


def test_an_unpacked_release_gives_the_same(small, tmp_path) -> None:
    with zipfile.ZipFile(small) as archive:
        archive.extractall(tmp_path / "cache")
    one = pack(small, tmp_path / "one")
    other = pack(tmp_path / "cache" / "json_2.1.1", tmp_path / "other")
    for file in one.iterdir():
        assert (other / file.name).read_bytes() == file.read_bytes()


def test_games_that_cannot_be_solved_are_left_out(tmp_path) -> None:
    games = {path_of("train", 0): game(), path_of("train", 1): game(1, solvable=False)}
    folder = pack(write_zip(tmp_path / ARCHIVE, games), tmp_path / "packed")
    assert len(rows(folder / "train.jsonl.xz")) == 1
    games = {path_of("train", 0): game(solvable=False)}
    with pytest.raises(DataError, match="no game of the release can be solved"):
        pack(write_zip(tmp_path / ARCHIVE, games), tmp_path / "none")


@pytest.mark.parametrize(
    "name",
    [
        "../../train/a-b/trial/game.tw-pddl",
        "/json_2.1.1/train/a-b/trial/game.tw-pddl",
        "json_2.1.1/train/../../etc/game.tw-pddl",
        "json_2.1.1/train/a-b/../game.tw-pddl",
        "json_2.1.1/test/a-b/trial/game.tw-pddl",
        "__MACOSX/json_2.1.1/train/a-b/trial/game.tw-pddl",
        "json_2.1.1\\train\\a-b\\trial\\game.tw-pddl",
    ],
)
def test_strange_names_are_left_alone(tmp_path, name) -> None:
    before = {file for file in tmp_path.parent.iterdir()}
    file = write_zip(tmp_path / ARCHIVE, {name: game(), path_of("train", 0): game()})
    folder = pack(file, tmp_path / "packed")
    assert len(rows(folder / "train.jsonl.xz")) == 1
    assert {file for file in tmp_path.parent.iterdir()} == before
    assert {file.name for file in tmp_path.iterdir()} == {ARCHIVE, "packed"}


def refused(tmp_path: Path, content: Any, match: str, name: str = path_of("train", 0)) -> None:
    file = write_zip(tmp_path / ARCHIVE, {name: content})
    with pytest.raises(DataError, match=match) as caught:
        pack(file, tmp_path / "packed")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"walkthrough": None}, "has no 'walkthrough': it is of an older release.*read as it is"),
        ({"pddl_problem": None}, "has no 'pddl_problem'"),
        ({"grammar": "none"}, "train/pick_and_place.*damaged: its grammar has no line"),
        ({"grammar": 7}, "damaged"),
    ],
)
def test_damaged_games(tmp_path, changes, match) -> None:
    refused(tmp_path, game(**changes), match)


def test_games_that_are_none(tmp_path) -> None:
    refused(tmp_path, "{", "trial_1 is damaged: Expecting")


def test_a_game_that_is_a_list(tmp_path) -> None:
    refused(tmp_path, "[]", "damaged")


def test_a_zip_without_games(tmp_path) -> None:
    refused(tmp_path, "text", "has 0 games.*it is not the release", "readme.txt")


def test_a_bomb(tmp_path) -> None:
    refused(tmp_path, " " * 10_000_000, "larger than 4,000,000 bytes")


def test_too_many_games(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(release, "_MOST_GAMES", 1)
    games = {path_of("train", number): game() for number in range(2)}
    with pytest.raises(DataError, match="has 2 games"):
        pack(write_zip(tmp_path / ARCHIVE, games), tmp_path / "packed")


def test_a_game_twice(tmp_path) -> None:
    games = {path_of("train", 0): game(), path_of("train", 0).removeprefix("json_2.1.1/"): game()}
    with pytest.raises(DataError, match=r"the game train/pick.* twice"):
        pack(write_zip(tmp_path / ARCHIVE, games), tmp_path / "packed")


def test_games_with_other_rules(tmp_path) -> None:
    games = {path_of("train", 0): game(), path_of("train", 1): game(1, pddl_domain="other")}
    with pytest.raises(DataError, match="another domain or grammar than the games before"):
        pack(write_zip(tmp_path / ARCHIVE, games), tmp_path / "packed")


def test_a_file_that_is_no_zip(tmp_path) -> None:
    (tmp_path / ARCHIVE).write_text("<html>")
    with pytest.raises(DataError, match="is damaged: File is not a zip file; download it again"):
        pack(tmp_path / ARCHIVE, tmp_path / "packed")


def test_a_zip_with_a_flipped_bit(small, tmp_path) -> None:
    content = bytearray(small.read_bytes())
    content[len(content) // 3] ^= 1
    small.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        pack(small, tmp_path / "packed")


def test_what_was_packed_is_played(small, tmp_path) -> None:
    root = tmp_path / "data"
    with pytest.raises(DataError, match=r"not the file that 'alfworld' is made from"):
        get(source("alfworld"), root=root, origin=str(tmp_path))
    with zipfile.ZipFile(small) as archive:
        archive.extractall(tmp_path / "cache")
    with pytest.raises(DataError, match=r"train: different 3 games; 3,553 are known.*--unverified"):
        get(source("alfworld"), root=root, origin=str(tmp_path / "cache"))
    assert not (root / "alfworld").exists()
    get(source("alfworld"), root=root, origin=str(small), unverified=True)
    options = {"source": "official", "data": root / "alfworld", "expert": "planner"}
    with pytest.warns(UserWarning, match="not the official train@"):
        env = agentrl.make("alfworld", split="train", **options)
    observation, info = env.reset(options={"task": path_of("train", 1)[11:-13]})
    assert observation.endswith('put a "nice" mug on desk.')
    while not info["success"]:
        *_, terminated, truncated, info = env.step(info["expert_action"])
        assert not truncated
    assert terminated


def test_checks_of_damaged_files(small, tmp_path) -> None:
    folder = pack(small, tmp_path / "packed")
    file = folder / "valid_seen.jsonl.xz"
    file.write_bytes(file.read_bytes()[:-20])
    (folder / "domain.pddl").unlink()
    states = {check.what: check for check in release.verify(folder)}
    assert states["valid_seen"].state == "different"
    assert "damaged" in states["valid_seen"].note
    assert states["valid_train"].state == "missing"
    assert states["domain.pddl"].state == "missing"
    assert states["grammar.twl2"].state == "different"


@pytest.mark.needs_data
def test_real_games_are_packed_to_what_is_known(tmp_path) -> None:
    """A panel of the official release, put together again, comes out with the known hash."""
    data = Path(os.environ["AGENTRL_DATA"]) / "alfworld"
    domain, grammar = ((data / name).read_text() for name in ("domain.pddl", "grammar.twl2"))
    entries = {
        f"json_2.1.1/valid_seen/{row['id']}/game.tw-pddl": {
            "pddl_domain": domain,
            "grammar": grammar.replace('"@@TASK@@"', json.dumps(row["goal"])),
            "pddl_problem": row["pddl_problem"],
            "solvable": True,
            "walkthrough": row["walkthrough"],
        }
        for row in rows(data / "valid_seen.jsonl.xz")
    }
    folder = pack(write_zip(tmp_path / ARCHIVE, entries), tmp_path / "packed")
    assert rows(folder / "valid_seen.jsonl.xz") == rows(data / "valid_seen.jsonl.xz")
    states = {check.what: check.state for check in release.verify(folder)}
    assert states == {
        "train": "missing",
        "valid_seen": "verified",
        "valid_unseen": "missing",
        "valid_train": "missing",
        "domain.pddl": "verified",
        "grammar.twl2": "verified",
    }


@pytest.mark.needs_data
def test_the_games_that_are_here_are_the_official_ones() -> None:
    data = Path(os.environ["AGENTRL_DATA"]) / "alfworld"
    states = {check.what: check.state for check in release.verify(data)}
    assert states["train"] == "verified"
