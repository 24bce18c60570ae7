"""Reading the files of the official games: a packed split, or the folders of a release.

Both releases are read: the current one (`move X to Y`) and the older one (`put X in/on Y`), whose
games need `initial_state.pddl` and `traj_data.json` beside them.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agentrl.environments.alfworld.game import CURRENT, OLDER, Game, Phrases, TaskType
from agentrl.environments.alfworld.generate import SENTENCES
from agentrl.environments.alfworld.parse import clean_sentence, parse_game
from agentrl.errors import TaskError

GAME_FILE = "game.tw-pddl"
_TASK_LINE = re.compile(r'"task":\s*\[\s*\{\s*"rhs":\s*"((?:[^"\\]|\\.)*)"')
_MEND = "get the file again from the official release"


@dataclass(frozen=True, slots=True)
class Record:
    """One game as it was read, not yet compiled."""

    name: str
    """The task's folder and the trial's, such as `pick_…-Mug-None-Desk-3/trial_T2019…`."""
    sentence: str
    """The goal in words."""
    packed_problem: bytes
    """The PDDL problem, compressed."""
    walkthrough: tuple[str, ...]
    """Commands that win; empty in the older release."""
    phrases: Phrases
    fingerprint: str
    """Hash of all that decides how the game plays, whatever form it was read from."""
    where: str
    """The file, and the line in it, for errors."""
    file: Path | None = None
    """The game's own file, where it has one."""

    @property
    def problem(self) -> str:
        """Return the PDDL problem."""
        return zlib.decompress(self.packed_problem).decode()

    def compile(self, game_id: str | None = None) -> Game:
        """Return the compiled game.

        Raises:
            TaskError: The problem is damaged, or says what ALFWorld's grammar lacks.
        """
        name = self.name if game_id is None else game_id
        return parse_game(
            self.problem, self.sentence, game_id=name, phrases=self.phrases, where=self.where
        )


def _record(
    name: str, sentence: str, problem: str, *, where: str, phrases: Phrases = CURRENT, **more: Any
) -> Record:
    sentence = clean_sentence(sentence)
    body = problem.encode(errors="surrogatepass")
    # What comes before the facts names the trial and declares types: it does not matter in play.
    start = max(body.lower().find(b"(:init"), 0)
    digest = hashlib.sha256(f"{phrases.put_command}\n{sentence}\n".encode(errors="surrogatepass"))
    digest.update(memoryview(body)[start:])
    walkthrough = tuple(more.pop("walkthrough", None) or ())
    return Record(
        name,
        sentence,
        zlib.compress(body, 1),
        walkthrough,
        phrases,
        digest.hexdigest()[:16],
        where,
        **more,
    )


class _Row(msgspec.Struct):
    """A line of a packed split."""

    id: str
    goal: str
    pddl_problem: str
    walkthrough: list[str] | None = None


_decode_row = msgspec.json.Decoder(_Row).decode


def read_packed(file: Path) -> Iterator[Record]:
    """Yield the games of a packed split, `.jsonl` or `.jsonl.xz`.

    Raises:
        TaskError: The file or a line is damaged; names the line.
    """
    try:
        with lzma.open(file) if file.suffix == ".xz" else file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield _read_row(line, f"{file}, line {number}")
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise TaskError(f"{file} is damaged: {error}; copy the file again") from error


def _read_row(line: bytes, where: str) -> Record:
    try:
        row = _decode_row(line)
        return _record(row.id, row.goal, row.pddl_problem, where=where, walkthrough=row.walkthrough)
    except (msgspec.MsgspecError, ValueError) as error:
        raise TaskError(f"{where} is damaged: {error}; copy the file again") from error


def read_folders(folder: Path) -> Iterator[Record]:
    """Yield the solvable games of a release's split.

    Raises:
        TaskError: A game's file is damaged.
    """
    for file in sorted(folder.rglob(GAME_FILE)):
        record = read_record(file, file.parent.relative_to(folder).as_posix())
        if record is not None:
            yield record


def read_record(file: Path, name: str) -> Record | None:
    """Return the game of a `game.tw-pddl`, of either release, or None for an unsolvable one.

    What the file lacks is taken from `traj_data.json` and `initial_state.pddl` beside it.

    Raises:
        TaskError: The file is missing or damaged.
    """
    data = read_content(file)
    if data.get("solvable") is False:
        return None
    try:
        grammar = str(data["grammar"])
        beside = file.parent / "initial_state.pddl"
        problem = data.get("pddl_problem") or beside.read_text(encoding="utf-8")
        phrases = OLDER if OLDER.put_command in grammar else CURRENT
        sentence = _sentence(file, grammar)
        walkthrough = [str(command) for command in data.get("walkthrough") or ()]
        return _record(
            name,
            sentence,
            problem,
            where=str(file),
            phrases=phrases,
            walkthrough=walkthrough,
            file=file,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else error
        raise TaskError(f"cannot read the game {file}: {what}; {_MEND}") from error


def read_game_file(file: Path, game_id: str | None = None) -> Game:
    """Compile a `game.tw-pddl`.

    Args:
        file: The file; see `read_record`.
        game_id: The game's name; by default a hash of its content.

    Raises:
        TaskError: The file is missing or damaged, or the game has no solution.
    """
    record = read_record(file, game_id or "")
    if record is None:
        raise TaskError(f"the game {file} says that it cannot be solved; choose another")
    return record.compile(game_id or "")


def read_content(file: Path) -> dict[str, Any]:
    """Return what a `game.tw-pddl` holds.

    Raises:
        TaskError: The file is missing or damaged.
    """
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise TaskError(f"cannot read the game {file}: {error}; {_MEND}") from error
    if not isinstance(data, dict):
        raise TaskError(f"cannot read the game {file}: it holds no JSON object; {_MEND}")
    return data


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
