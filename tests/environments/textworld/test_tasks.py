"""Games in splits that share none, made once; failures of making them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys

import pytest

from agentrl.environments.textworld import prepare
from agentrl.environments.textworld.build_main import SHARE, last_words
from agentrl.environments.textworld.builder import Builder
from agentrl.environments.textworld.challenges import recipe_of
from agentrl.environments.textworld.tasks import Library
from agentrl.errors import ConfigError, DataError, MissingExtraError, TaskError

COIN = recipe_of("coin_collector", level=2)


def test_content_decides_the_split():
    library = Library(COIN)
    contents = {
        split: {library.fingerprint(f"{split}/{index}") for index in range(6)}
        for split in ("train", "valid", "test")
    }
    for split, hashes in contents.items():
        assert all(int(content, 16) % 4 in SHARE[split] for content in hashes)
    assert len(set().union(*contents.values())) == sum(map(len, contents.values()))


def test_the_draft_has_the_content_of_the_game(make, cache):
    env = make("simple")
    game = env.tasks.get("train/0").data
    library = Library(recipe_of("simple", goal="brief"))
    reply = Builder().build(library.recipe, "train", 0, None)
    assert game.content == reply["content"] == library.fingerprint("train/0")
    assert json.loads((game.folder / "about.json").read_text())["content"] == game.content
    assert sorted(path.name for path in game.folder.iterdir()) == [
        "about.json",
        "game.json",
        "game.z8",
    ]


def test_games_are_the_same_on_every_machine():
    assert Library(recipe_of("treasure_hunter", level=5)).fingerprint("train/0") == (
        "e2c9e5f9c638ca6f"
    )
    assert (
        Library(recipe_of("cooking", cook=True, cut=True)).fingerprint("train/0")
        == "b2fa2bd3d969c5bb"
    )


def test_prepare_compiles_what_is_missing(cache):
    seen = []
    assert prepare("coin_collector", level=1, count=2, workers=2, on_game=seen.append) == 2
    assert seen == [1, 2]
    assert prepare("coin_collector", level=1, count=2) == 0
    assert not list((cache / "textworld").glob(".*"))
    with pytest.raises(TaskError, match="unknown split 'trian'; did you mean 'train'"):
        prepare("coin_collector", split="trian")
    with pytest.raises(ConfigError, match="prepare needs workers"):
        prepare("coin_collector", workers=0)


def test_a_game_that_takes_too_long_is_given_up():
    with pytest.raises(TaskError, match=r"train/0 .*longer than 0\.01 s.*lower difficulty"):
        Builder(seconds=0.01).build(recipe_of("treasure_hunter", level=30), "train", 0, None)


def test_a_builder_that_was_killed_is_told_and_replaced():
    builder = Builder()
    builder.build(COIN, "train", 0, None)
    os.kill(builder._process.pid, signal.SIGKILL)
    with pytest.raises(TaskError, match="ended with status -9"):
        builder.build(COIN, "train", 0, None)
    assert builder.build(COIN, "train", 0, None)["content"]
    builder.close()


def test_what_the_compiler_says_last_is_told(cache, monkeypatch, tmp_path):
    compiler = tmp_path / "share" / "inform7" / "Compilers" / "ni"
    compiler.parent.mkdir(parents=True)
    compiler.write_text("#!/bin/sh\necho Problem 7: too many doors\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("INFORM_HOME", str(tmp_path))
    library = Library(recipe_of("treasure_hunter", level=1), Builder())
    with pytest.raises(TaskError, match=r"compiler refused it: .*too many doors") as raised:
        library.load("train/7")
    assert "\n" not in str(raised.value)
    assert not library.has("train/7")
    assert last_words("") == "nothing was said"


@pytest.mark.parametrize("damage", ["game.z8", "game.json", "about.json"])
def test_damaged_games_are_explained(make, monkeypatch, tmp_path, damage, cache):
    shutil.copytree(cache, tmp_path / "copy")
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "copy"))
    env = make("coin_collector")
    game = env.tasks.get("train/0").data
    (game.folder / damage).write_bytes(b"")
    with pytest.raises(TaskError, match=r"damaged .*remove that folder"):
        env.reset(options={"task": "train/0"})


def test_a_cache_that_cannot_be_written_is_explained(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="AGENTRL_CACHE"):
        Library(COIN).load("train/0")


def test_the_missing_extra_is_named(monkeypatch):
    from agentrl.environments.textworld.engine import Engine

    monkeypatch.setitem(sys.modules, "jericho", None)
    with pytest.raises(MissingExtraError, match=r"agentrl-framework\[textworld\]"):
        Engine()
