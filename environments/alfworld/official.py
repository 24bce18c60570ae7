"""The official games, from the user's data folder.

A split is either one file `<split>.jsonl.xz` (a line per game: id, goal, pddl_problem) or the
folders of the official release, each with a `game.tw-pddl`. Both releases are read: the current one
(`move X to Y`) and the older one (`put X in/on Y`).
"""

from __future__ import annotations

import json
import lzma
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from agentrl.environments.alfworld.game import CURRENT, OLDER, Game, Phrases, TaskType
from agentrl.environments.alfworld.generate import SENTENCES
from agentrl.environments.alfworld.parse import parse_game
from agentrl.errors import TaskError

DATA_VARIABLE = "AGENTRL_DATA"
OFFICIAL_SPLITS = ("train", "valid_seen", "valid_unseen", "valid_train")
_RELEASE_FOLDER = "json_2.1.1"
_GAME_FILE = "game.tw-pddl"
_TASK_LINE = re.compile(r'"task":\s*\[\s*\{\s*"rhs":\s*"((?:[^"\\]|\\.)*)"')
_MEND = "get the file again from the official release"


def data_folder(folder: str | Path | None = None) -> Path:
    """Return the folder with the official games.

    Raises:
        TaskError: None was given and AGENTRL_DATA is not set.
    """
    if folder is not None:
        return Path(folder)
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise TaskError(
            f"the official ALFWorld games need the environment variable {DATA_VARIABLE}: set it to "
            "the directory that holds alfworld/train.jsonl.xz and the like, or use "
            "source='generated', which needs no data"
        )
    return Path(root) / "alfworld"


class OfficialSplit(Sequence[str]):
    """The ids `<split>/<folder>/<trial>` of a split, read from disk when first used."""

    def __init__(self, root: Path, split: str) -> None:
        """Name the split of a data folder; nothing is read yet."""
        self._root = root
        self._split = split

    def __len__(self) -> int:
        """Return how many games there are."""
        return len(self._ids)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # slices are not needed
        """Return the id at a position."""
        return self._ids[index]

    def __contains__(self, item: object) -> bool:
        """Return whether `item` is one of the ids."""
        is_ours = isinstance(item, str) and item.startswith(f"{self._split}/")
        return is_ours and item in self._records

    def game(self, task_id: str) -> Game:
        """Compile a game.

        Raises:
            TaskError: The game's file is damaged.
        """
        record = self._records[task_id]
        name = task_id.partition("/")[2]
        if isinstance(record, Path):
            return read_game_file(record, name)
        problem = zlib.decompress(record[1]).decode()
        return parse_game(problem, record[0], game_id=name)

    @cached_property
    def _ids(self) -> list[str]:
        return list(self._records)

    @cached_property
    def _records(self) -> Mapping[str, tuple[str, bytes] | Path]:
        """Return for each id the goal and the packed problem, or the file to read."""
        packed = self._root / f"{self._split}.jsonl.xz"
        if packed.is_file():
            return {f"{self._split}/{name}": record for name, record in _read_packed(packed)}
        for folder in (self._root / _RELEASE_FOLDER / self._split, self._root / self._split):
            files = sorted(folder.rglob(_GAME_FILE)) if folder.is_dir() else []
            if files:
                return {
                    f"{self._split}/{file.parent.relative_to(folder).as_posix()}": file
                    for file in files
                    if '"solvable": false' not in file.read_text(encoding="utf-8")
                }
        raise TaskError(
            f"the official ALFWorld split {self._split!r} is not there: put {packed.name} or the "
            f"release's folder {_RELEASE_FOLDER}/{self._split} into {self._root} "
            f"(the directory alfworld of {DATA_VARIABLE})"
        )


def _read_packed(file: Path) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Yield the games of a packed split; problems stay compressed in memory."""
    try:
        with lzma.open(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield _read_row(line, f"{file}, line {number}")
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise TaskError(f"{file} is damaged: {error}; copy the file again") from error


def _read_row(line: str, where: str) -> tuple[str, tuple[str, bytes]]:
    try:
        row = json.loads(line)
        return row["id"], (row["goal"], zlib.compress(row["pddl_problem"].encode(), 1))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise TaskError(f"{where} is damaged: {what}; copy the file again") from error


def read_game_file(file: Path, game_id: str | None = None) -> Game:
    """Compile a game of the official release, of either version.

    Args:
        file: The `game.tw-pddl`; what it lacks is taken from `traj_data.json` and
            `initial_state.pddl` beside it.
        game_id: The game's name; by default a hash of its content.

    Raises:
        TaskError: The file is missing or damaged.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        grammar: str = data["grammar"]
        beside = file.parent / "initial_state.pddl"
        problem = data.get("pddl_problem") or beside.read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise TaskError(f"cannot read the game {file}: {what}; {_MEND}") from error
    sentence = _sentence(file, grammar)
    return parse_game(problem, sentence, game_id=game_id, phrases=_phrases(grammar))


def _phrases(grammar: str) -> Phrases:
    """Return the wordings of the release that a grammar belongs to."""
    return OLDER if OLDER.put_command in grammar else CURRENT


def _sentence(file: Path, grammar: str) -> str:
    """Return the goal in words: from the grammar, or else from the trajectory beside the game."""
    found = _TASK_LINE.search(grammar)
    if found and "UNKNOWN GOAL" not in found[1]:
        return str(json.loads(f'"{found[1]}"'))
    beside = file.parent / "traj_data.json"
    try:
        trajectory: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        wanted = trajectory["pddl_params"]
        wording = SENTENCES[TaskType(trajectory["task_type"])][0]
        place = wanted["parent_target"] or wanted["toggle_target"]
        return wording.format(o=wanted["object_target"].lower(), r=place.lower())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(
            f"the game {file} has no goal in words, and {beside.name} beside it does not help "
            f"({error}); {_MEND}"
        ) from error
