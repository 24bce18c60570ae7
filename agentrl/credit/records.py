"""Credit on disk, beside trajectories: one line per trajectory, with the reasons of every turn.

    {"group": "task 7", "id": "7-0", "advantages": [0.0, 0.87], "why": [[{"method": "grpo", …}], …]}

`advantages` has one value per turn (a token-level one: the mean over its sampled tokens), `why`
one list per turn with a record per method; see `agentrl.credit.explain`. A trajectory that was not
scored has `"advantages": null` and says in `left_out` what ended it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from agentrl.batch import Batch
from agentrl.credit.explain import Explained
from agentrl.credit.lines import read_lines
from agentrl.credit.signals import plain
from agentrl.credit.stored import Stored
from agentrl.errors import DataError
from agentrl.storage.atomic import replacing

LEVEL = 3
"""Compression level: the library's default."""


class CreditRecord(msgspec.Struct, frozen=True):
    """The credit of one trajectory."""

    group: str
    id: str
    advantages: list[float | None] | None
    """One value per turn; None: the trajectory was not scored."""
    why: list[list[dict[str, Any]]]
    """Per turn, what each method made of it."""
    left_out: str | msgspec.UnsetType = msgspec.UNSET
    """What ended a trajectory that was not scored."""


_DECODER = msgspec.json.Decoder(CreditRecord)


def credit_records(batch: Batch, explained: Explained) -> list[CreditRecord]:
    """Return the records of a batch, in its order."""
    owners = [g for g, n in zip(batch.groups, _sizes(batch), strict=True) for _ in range(n)]
    values = [plain(value) for value in explained.per_turn]
    return [
        CreditRecord(group, name, values[start:stop], explained.why[start:stop])
        for group, name, (start, stop) in zip(
            owners, batch.ids, pairwise(batch.turn_offsets.tolist()), strict=True
        )
    ]


def stored_records(stored: Stored, explained: Explained) -> list[CreditRecord]:
    """Return one record per trajectory of a file, in the order of the file."""
    scored = credit_records(stored.batch, explained)
    return [
        CreditRecord(t.group, t.id, None, [], t.outcome.value) if at is None else scored[at]
        for t, at in zip(stored.trajectories, stored.places, strict=True)
    ]


def write_credit(path: str | Path, records: Iterable[CreditRecord]) -> None:
    """Write a whole file; compressed where its name ends in `.zst`.

    Raises:
        DataError: The file cannot be written.
    """
    path = Path(path)
    data = b"".join(encode_credit(record) + b"\n" for record in records)
    if path.suffix == ".zst":
        data = zstandard.ZstdCompressor(LEVEL).compress(data)
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def read_credit(path: str | Path) -> list[CreditRecord]:
    """Return the records of a file that `write_credit` or `agentrl credit --json` wrote.

    Raises:
        DataError: The file is missing or damaged; names the line.
    """
    path = Path(path)
    return [_decode(line, f"{path}, line {number}") for number, line in read_lines(path)]


def encode_credit(record: CreditRecord) -> bytes:
    """Return a record as one line of JSON, without the line break."""
    try:
        return msgspec.json.encode(record, enc_hook=_plain)
    except (UnicodeEncodeError, OverflowError):
        # Lone surrogates and integers beyond 64 bits: the standard library writes both.
        tree = msgspec.to_builtins(record, enc_hook=_plain)
        return json.dumps(tree, separators=(",", ":")).encode()


def _decode(line: bytes, where: str) -> CreditRecord:
    try:
        return _DECODER.decode(line)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: not a record of credit: {error}") from None
    except (msgspec.DecodeError, RecursionError) as problem:
        try:
            return msgspec.convert(json.loads(line), CreditRecord)
        except (ValueError, RecursionError):
            raise DataError(f"{where} is not JSON: {problem}") from None


def _plain(value: Any) -> Any:
    """Return numpy numbers and arrays, which methods of one's own may put into records, as JSON."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _sizes(batch: Batch) -> Sequence[int]:
    sizes: list[int] = (batch.trajectory_offsets[1:] - batch.trajectory_offsets[:-1]).tolist()
    return sizes
