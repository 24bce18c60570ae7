from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from agentrl.cache import build_once, cache_folder
from agentrl.errors import DataError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_is_made_once(folder: Path) -> None:
    calls = []

    def build(draft: Path) -> None:
        calls.append(draft)
        (draft / "file").write_text("made")

    first, second = build_once("thing", "abc", build), build_once("thing", "abc", build)
    assert first == second == folder / "thing" / "abc"
    assert (first / "file").read_text() == "made"
    assert len(calls) == 1


def test_a_failed_build_leaves_nothing(folder: Path) -> None:
    def build(draft: Path) -> None:
        (draft / "half").write_text("half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        build_once("thing", "abc", build)
    assert list((folder / "thing").iterdir()) == []


def test_two_builders_at_once_agree(folder: Path) -> None:
    both = Barrier(2)

    def build(draft: Path) -> None:
        (draft / "file").write_text(draft.name)
        both.wait(timeout=30)

    with ThreadPoolExecutor() as threads:
        results = [threads.submit(build_once, "thing", "abc", build) for _ in range(2)]
    assert {result.result() for result in results} == {folder / "thing" / "abc"}
    assert [entry.name for entry in (folder / "thing").iterdir()] == ["abc"]


def test_the_folder_falls_back_to_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTRL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/agentrl")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "agentrl"


def test_an_unwritable_cache_says_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="AGENTRL_CACHE"):
        build_once("thing", "abc", lambda draft: None)
