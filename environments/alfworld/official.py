"""The official games, from the user's data folder, as panels named by a hash of their content.

A split is either one file `<split>.jsonl.xz` (a line per game: id, goal, pddl_problem) or the
folders of the official release, each with a `game.tw-pddl`. Its hash depends on the games alone,
not on the form they were read from.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path

from agentrl.cache import build_once
from agentrl.data import data_root
from agentrl.environments.alfworld.game import Game
from agentrl.environments.alfworld.original import GameFile
from agentrl.environments.alfworld.records import (
    GAME_FILE,
    Record,
    read_content,
    read_folders,
    read_packed,
)
from agentrl.errors import DataError, TaskError, did_you_mean
from agentrl.tasks import panel_digest

OFFICIAL_SPLITS = ("train", "valid_seen", "valid_unseen", "valid_train")
KNOWN_DIGESTS: Mapping[str, str] = {
    "train": "4ef4fc76d9b2",
    "valid_seen": "7acbb8838a6f",
    "valid_train": "d377d0a4b565",
}
"""Content hashes of the official splits. That of `valid_unseen` is not known here: its games were
kept out of sight on purpose. It is computed and shown, but compared with nothing."""

RELEASE_FOLDER = "json_2.1.1"
_NAME_FILE = "name.json"
_COMPILED_GAMES = 256
"""Games of a split that are kept compiled, some 15 KiB each."""


def data_folder(folder: str | Path | None = None) -> Path:
    """Return the folder with the official games: by default `alfworld` in the data folder."""
    return Path(folder) if folder is not None else data_root() / "alfworld"


def official_rules(folder: Path) -> tuple[str, str]:
    """Return domain and grammar of the official games, `@@TASK@@` in place of the goal.

    Raises:
        TaskError: They are not in the folder.
    """
    try:
        domain, grammar = (
            (folder / name).read_text(encoding="utf-8") for name in ("domain.pddl", "grammar.twl2")
        )
    except OSError as error:
        raise TaskError(
            f"the original engine needs domain.pddl and grammar.twl2 of the official games in "
            f"{folder} ({error.strerror}); put them there, or use backend='native'"
        ) from error
    return domain, grammar


class OfficialSplit(Sequence[str]):
    """The ids `<split>/<folder>/<trial>` of a split, sorted; read from disk when first used."""

    def __init__(self, root: Path, split: str) -> None:
        """Name the split of a data folder; nothing is read yet."""
        self._root = root
        self._split = split
        self.game = lru_cache(_COMPILED_GAMES)(self._compile)

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

    def _compile(self, task_id: str) -> Game:
        """Return a game; the ones asked for last are compiled only once.

        Raises:
            TaskError: The game is damaged; says where.
        """
        return self._records[task_id].compile()

    def walkthrough(self, task_id: str) -> Sequence[str]:
        """Return commands that win; none are recorded in the older release."""
        return self._records[task_id].walkthrough

    def fingerprint(self, task_id: str) -> str:
        """Return the hash of a game's content."""
        return self._records[task_id].fingerprint

    @cached_property
    def digest(self) -> str:
        """Return the hash of the whole split; `valid_seen@<digest>` is its name as a panel."""
        return _digest(self._records)

    def game_file(self, task_id: str) -> GameFile:
        """Return a game for the original engine.

        Raises:
            TaskError: The rules that go with a packed split are not beside it.
        """
        record = self._records[task_id]
        if record.file is not None:
            content = read_content(record.file)
            return {**content, "pddl_problem": record.problem}
        domain, grammar = self._rules
        return {
            "pddl_domain": domain,
            "grammar": grammar.replace("@@TASK@@", f"Your task is to: {record.sentence}"),
            "pddl_problem": record.problem,
            "solvable": True,
            "walkthrough": list(record.walkthrough),
        }

    @cached_property
    def _rules(self) -> tuple[str, str]:
        return official_rules(self._root)

    @cached_property
    def _ids(self) -> list[str]:
        return list(self._records)

    @cached_property
    def _records(self) -> Mapping[str, Record]:
        found: dict[str, Record] = {}
        for record in sorted(self._read(), key=lambda record: record.name):
            task_id = f"{self._split}/{record.name}"
            if task_id in found:
                raise TaskError(
                    f"{record.where} is damaged: the game {record.name!r} is also at "
                    f"{found[task_id].where}; copy the file again"
                )
            found[task_id] = record
        self._compare(found)
        return found

    def _read(self) -> Iterator[Record]:
        source = self.source()
        return read_packed(source) if source.is_file() else read_folders(source)

    def source(self) -> Path:
        """Return the packed file or the folder that the split is read from.

        Raises:
            TaskError: Neither is there.
        """
        for packed in self._packed_files:
            if packed.is_file():
                return packed
        for folder in (self._root / RELEASE_FOLDER / self._split, self._root / self._split):
            if folder.is_dir() and next(folder.rglob(GAME_FILE), None) is not None:
                return folder
        raise TaskError(
            f"the official ALFWorld split {self._split!r} is not in {self._root}: `agentrl data "
            f"get alfworld` brings {self._packed_files[0].name}; the release's folder "
            f"{RELEASE_FOLDER}/{self._split} there is read too; source='generated' needs no data"
        )

    @property
    def _packed_files(self) -> tuple[Path, Path]:
        names = (f"{self._split}.jsonl.xz", f"{self._split}.jsonl")
        return self._root / names[0], self._root / names[1]

    def _compare(self, records: Mapping[str, Record]) -> None:
        """Warn when the games are not those of the release that everybody uses."""
        known = KNOWN_DIGESTS.get(self._split)
        digest = _digest(records)
        if known not in (None, digest):
            warnings.warn(
                f"the {len(records)} ALFWorld games of {self._split!r} in {self._root} are "
                f"{self._split}@{digest}, not the official {self._split}@{known}: another "
                "release, or damaged; results are not comparable with those on the official games",
                stacklevel=2,
            )


def _digest(records: Mapping[str, Record]) -> str:
    return panel_digest({id_: record.fingerprint for id_, record in records.items()})


class Official:
    """All splits of a data folder."""

    def __init__(self, root: Path) -> None:
        """Name the folder; nothing is read yet."""
        self.splits = {name: OfficialSplit(root, name) for name in OFFICIAL_SPLITS}

    def split_of(self, task_id: str) -> OfficialSplit:
        """Return the split that a task id names.

        Raises:
            TaskError: There is no such split.
        """
        name = task_id.partition("/")[0]
        if name not in self.splits:
            raise TaskError(f"unknown split {name!r}; {did_you_mean(name, self.splits)}")
        return self.splits[name]


def named_panels() -> Mapping[str, int]:
    """Return the size of each official split in AGENTRL_DATA by its name, such as `train@4ef4…`.

    The names are kept in the cache, by the files' sizes and times, because reading all of the
    games takes a second.
    """
    try:
        splits = official().splits
    except TaskError:
        return {}
    found: dict[str, int] = {}
    for name, split in splits.items():
        with suppress(TaskError):
            key = hashlib.sha256(repr(list(_stamps(split.source()))).encode()).hexdigest()[:24]
            with suppress(DataError, ValueError, OSError):
                entry = build_once("alfworld-panels", key, partial(_write_name, name, split))
                found |= json.loads((entry / _NAME_FILE).read_text())
                continue
            found[f"{name}@{split.digest}"] = len(split)
    return found


def _stamps(source: Path) -> Iterator[tuple[str, int, int]]:
    for file in [source] if source.is_file() else sorted(source.rglob(GAME_FILE)):
        status = file.stat()
        yield str(file.resolve()), status.st_size, status.st_mtime_ns


def _write_name(name: str, split: OfficialSplit, folder: Path) -> None:
    text = json.dumps({f"{name}@{split.digest}": len(split)})
    (folder / _NAME_FILE).write_text(text, encoding="utf-8")


def official(folder: str | Path | None = None) -> Official:
    """Return the official games of a folder, read once in a process.

    Raises:
        TaskError: No folder is known.
    """
    return _official(data_folder(folder))


# Reading a split takes a second or more, and a collector makes an environment per episode.
@cache
def _official(root: Path) -> Official:
    return Official(root)
