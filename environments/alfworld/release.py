"""The official games: from the release on GitHub, or its unpacked folders, to the packed panels.

A release is a folder `json_2.1.1/<split>/<task>/<trial>/game.tw-pddl` of 360 MB in which every game
repeats the same domain and grammar. Packed, a split is a file of one line per game (id, goal,
problem, walkthrough) of 6 MB in all, beside one domain and one grammar in which `@@TASK@@` stands
for the goal. A zip is read without unpacking it to disk.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from agentrl.data import Check, DataFile, DataSource, Download, Fetched, Progress
from agentrl.environments.alfworld.official import (
    KNOWN_DIGESTS,
    OFFICIAL_SPLITS,
    RELEASE_FOLDER,
)
from agentrl.environments.alfworld.records import GAME_FILE, read_packed
from agentrl.errors import DataError, TaskError
from agentrl.tasks import panel_digest

TASK_MARK = "@@TASK@@"
_ARCHIVE = "json_2.1.2_tw-pddl.zip"
_GAME = re.compile(
    rf"(?:{re.escape(RELEASE_FOLDER)}/)?({'|'.join(OFFICIAL_SPLITS)})"
    rf"/(\w[\w.-]*)/(\w[\w.-]*)/{re.escape(GAME_FILE)}"
)
_TASK_LINE = re.compile(r'("task":\s*\[\s*\{\s*"rhs":\s*)("(?:[^"\\]|\\.)*")')
_LARGEST_GAME = 4_000_000
"""Bytes; real ones have about 90,000."""
_MOST_GAMES = 20_000
_MEND = "download it again with --force"

_GAMES: Mapping[str, int] = {
    "train": 3553,
    "valid_seen": 140,
    "valid_unseen": 134,
    "valid_train": 200,
}
"""How many games each split has."""
_RULES: Mapping[str, str] = {
    "domain.pddl": "0af55e7f92d12b09d28515aa730e4d03fddd17228ef1fd7b18a3ee8ba49b27b9",
    "grammar.twl2": "07d7aea101c66e17ad4c9c6d3979a8710fcf72090fd878eb2bcd39b107f1604f",
}


_Rules = tuple[str, str]
"""Domain and grammar, the latter with a mark for the goal."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where one game of a release lies."""

    split: str
    game_id: str
    place: zipfile.ZipInfo | Path


def pack(downloads: Mapping[str, Fetched], target: Path, progress: Progress) -> None:
    """Fill an empty folder with the packed splits of a release.

    Args:
        downloads: The release's zip, or the folder into which it was unpacked.
        target: The folder to fill.
        progress: Told of each game.

    Raises:
        DataError: The release is damaged, or is not one whose games share domain and grammar.
    """
    release = downloads[_ARCHIVE].path
    if release.is_dir():
        _pack(_in_folder(release), None, target, progress)
        return
    try:
        with zipfile.ZipFile(release) as archive:
            _pack(_in_zip(archive), archive, target, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # RuntimeError is what the zip reader says of a password.
        raise DataError(f"{release.name} is damaged: {error}; {_MEND}") from error


def _in_zip(archive: zipfile.ZipFile) -> list[_Entry]:
    """Return the games of a zip; whatever else its names say is left alone."""
    found = [
        _Entry(match[1], f"{match[2]}/{match[3]}", info)
        for info in archive.infolist()
        if (match := _GAME.fullmatch(info.filename))
    ]
    return _sorted(found, archive.filename or "the zip")


def _in_folder(release: Path) -> list[_Entry]:
    """Return the games of an unpacked release."""
    found = [
        _Entry(match[1], f"{match[2]}/{match[3]}", file)
        for file in release.rglob(GAME_FILE)
        if (match := _GAME.fullmatch(file.relative_to(release).as_posix()))
    ]
    return _sorted(found, str(release))


def _sorted(entries: list[_Entry], where: str) -> list[_Entry]:
    if not 0 < len(entries) <= _MOST_GAMES:
        raise DataError(
            f"{where} has {len(entries):,} games named {RELEASE_FOLDER}/SPLIT/…/{GAME_FILE}; "
            f"it is not the release; {_MEND}"
        )
    entries.sort(key=lambda entry: (entry.split, entry.game_id))
    for one, other in pairwise(entries):
        if (one.split, one.game_id) == (other.split, other.game_id):
            raise DataError(f"{where} has the game {one.split}/{one.game_id} twice; {_MEND}")
    return entries


def _pack(
    entries: list[_Entry], archive: zipfile.ZipFile | None, target: Path, progress: Progress
) -> None:
    rules: _Rules | None = None
    with progress.task("packing the games", len(entries)) as advance:
        for split, of_split in groupby(entries, key=lambda entry: entry.split):
            with lzma.open(target / f"{split}.jsonl.xz", "wb") as out:
                for entry in of_split:
                    advance(1)
                    game = _read(entry, archive)
                    if game is None:
                        continue
                    rules = _same(rules, game[1], entry)
                    out.write(json.dumps(game[0], sort_keys=True).encode() + b"\n")
    if rules is None:
        raise DataError(f"no game of the release can be solved; {_MEND}")
    for name, text in zip(_RULES, rules, strict=True):
        (target / name).write_text(text, encoding="utf-8")


def _same(known: _Rules | None, rules: _Rules, entry: _Entry) -> _Rules:
    """Return the rules that all games so far share."""
    if known not in (None, rules):
        raise DataError(
            f"{entry.split}/{entry.game_id} has another domain or grammar than the games before "
            f"it, so they cannot be packed together; put the folder {RELEASE_FOLDER} "
            "itself into the folder alfworld of the data folder"
        )
    return rules


def _read(entry: _Entry, archive: zipfile.ZipFile | None) -> tuple[dict[str, Any], _Rules] | None:
    """Return a game's row and its rules, or None for a game that cannot be solved."""
    where = f"{entry.split}/{entry.game_id}"
    content = _bytes(entry, archive)
    if len(content) > _LARGEST_GAME:
        raise DataError(f"the game {where} is larger than {_LARGEST_GAME:,} bytes; {_MEND}")
    try:
        game = json.loads(content)
        if not game.get("solvable", True):
            return None
        goal, grammar = _split_grammar(game["grammar"])
        row = {
            "goal": goal,
            "id": entry.game_id,
            "pddl_problem": game["pddl_problem"],
            "task_type": entry.game_id.partition("-")[0],
            "walkthrough": game["walkthrough"],
        }
        return row, (game["pddl_domain"], grammar)
    except KeyError as error:
        raise DataError(
            f"the game {where} has no {error}: it is of an older release, which is read as it is: "
            f"put its folder {RELEASE_FOLDER} into the folder alfworld of the data folder"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"the game {where} is damaged: {error}; {_MEND}") from error


def _bytes(entry: _Entry, archive: zipfile.ZipFile | None) -> bytes:
    """Return what a game's file holds, but no more than one byte over the largest size."""
    if isinstance(entry.place, Path):
        with entry.place.open("rb") as file:
            return file.read(_LARGEST_GAME + 1)
    assert archive is not None
    with archive.open(entry.place) as packed:
        return packed.read(_LARGEST_GAME + 1)


def _split_grammar(grammar: str) -> tuple[str, str]:
    """Return the goal in words, and the grammar with a mark in its place."""
    found = _TASK_LINE.search(grammar)
    if found is None:
        raise ValueError("its grammar has no line for the task")
    marked = f'{grammar[: found.start(2)]}"{TASK_MARK}"{grammar[found.end(2) :]}'
    return str(json.loads(found[2])), marked


def verify(folder: Path) -> tuple[Check, ...]:
    """Compare the packed splits and the rules with what is known of the release."""
    return (
        *(_check_split(folder, split) for split in _GAMES),
        *map(partial(_check_rules, folder), _RULES),
    )


def _check_split(folder: Path, split: str) -> Check:
    known = KNOWN_DIGESTS.get(split)
    file = folder / f"{split}.jsonl.xz"
    if not file.is_file():
        return Check(split, "missing")
    try:
        games = {f"{split}/{game.name}": game.fingerprint for game in read_packed(file)}
    except TaskError as error:
        return Check(split, "different", note=str(error))
    digest = panel_digest(games)
    if len(games) != _GAMES[split] or known not in (None, digest):
        note = f"{len(games):,} games; {_GAMES[split]:,} are known"
        return Check(split, "different", digest, note)
    return Check(split, "verified" if known else "unverified", digest, f"{len(games):,} games")


def _check_rules(folder: Path, name: str) -> Check:
    file = folder / name
    if not file.is_file():
        return Check(name, "missing")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Check(name, "verified" if digest == _RULES[name] else "different", digest)


DATA = DataSource(
    name="alfworld",
    environment="alfworld",
    folder="alfworld",
    summary="the official ALFWorld games: 3,553 for training, 474 in three panels",
    licence="ALFWorld, Shridhar et al. 2021, MIT licence; rooms and tasks of ALFRED, MIT licence.",
    files=(
        DataFile("train.jsonl", "games for training"),
        DataFile("valid_seen.jsonl", "panel: rooms seen in training", held_out=True),
        DataFile("valid_unseen.jsonl", "panel: rooms never seen", held_out=True),
        DataFile("valid_train.jsonl", "panel: rooms and tasks like those of training"),
        DataFile("domain.pddl", "the rules that all games share"),
        DataFile("grammar.twl2", "the wording that all games share"),
        DataFile("goldens.jsonl", "episodes recorded from the original engine", optional=True),
    ),
    downloads=(
        Download(
            _ARCHIVE,
            (f"https://github.com/alfworld/alfworld/releases/download/0.4.0/{_ARCHIVE}",),
            bytes=36_493_542,
            unpacked=RELEASE_FOLDER,
        ),
    ),
    pack=pack,
    verify=verify,
    bytes=5_700_000,
)
