"""A tiny data set of our own, packed and as its release, and a cache that nobody else uses."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PASSAGES = [
    ("Ada Lovelace", "Ada Lovelace was an English mathematician, the daughter of Lord Byron."),
    ("Lord Byron", "Lord Byron was a poet born in London and educated at Harrow School."),
    ("Harrow School", "Harrow School is a boarding school in Harrow on the Hill."),
    ("Babbage", "Charles Babbage was a mathematician who designed the analytical engine."),
    ("Émile Zola", "Émile Zola was a French novelist born in Paris."),
    ("Paris", "Paris is the capital of France, on the Seine."),
    ("Seine", "The Seine is a river in France."),
    ("London", "London is the capital of England, on the Thames."),
]


def question(number: int, *supporting: str, **more: Any) -> dict[str, Any]:
    row = {
        "id": f"q{number}",
        "question": f"What is asked in question number {number}?",
        "answers": [f"Answer {number}", f"The reply {number}"],
        "supporting": list(supporting),
        "context": [title for title, _ in PASSAGES[:4]],
        "type": "bridge",
        "level": "easy",
    }
    return {**row, **more}


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_corpus(folder: Path, source: str, passages: list[tuple[str, str]]) -> None:
    rows = [{"title": title, "text": text} for title, text in passages]
    write_lines(folder / f"{source}_corpus.jsonl", rows)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the tests build out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTRL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of our own data set: two training questions and one held out."""
    write_corpus(tmp_path, "hotpotqa", PASSAGES)
    write_corpus(tmp_path, "musique", [*PASSAGES[:1], ("Thames", "The Thames flows by London.")])
    write_corpus(tmp_path, "2wiki", [("Danube", "The Danube is a river that is not the Seine.")])
    asked = "At which school was the father of Ada Lovelace educated?"
    rows = [
        question(
            1, "Ada Lovelace", "Lord Byron", question=asked, answers=["Harrow School", "Harrow"]
        ),
        question(2, "Émile Zola", "Paris"),
    ]
    write_lines(tmp_path / "hotpotqa_train.jsonl", rows)
    write_lines(tmp_path / "hotpotqa_dev.jsonl", [question(3, "Paris", "Seine")])
    return tmp_path


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """The folder of the real data sets; skips where there is none."""
    found = Path(os.environ.get("AGENTRL_DATA", "")) / "searchqa"
    if not os.environ.get("AGENTRL_DATA") or not (found / "hotpotqa_corpus.jsonl.xz").is_file():
        pytest.skip("needs AGENTRL_DATA with the search-QA sets")
    return found
