"""Parquet: one row per trajectory, its turns a nested list; needs the extra `parquet`.

Ids are lists of int32 and log-probabilities lists of float32, so that columns can be read without
agentrl. Parquet text is UTF-8: a trajectory with lone surrogates is shown with question marks and
kept exactly, as its line of JSON, in the column `exact`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agentrl.batch import check_columns
from agentrl.errors import DataError, MissingExtraError
from agentrl.storage.record import decode, encode
from agentrl.trajectory import Allowed, Outcome, Trajectory, Turn

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise MissingExtraError("pyarrow", "parquet", "reading and writing Parquet files") from None

ROWS = 512
"""Trajectories per row group: what is held in memory at a time."""

_IDS, _LOGPROBS = pa.list_(pa.int32()), pa.list_(pa.float32())
_NUMBERS = pa.map_(pa.string(), pa.float64())
_TURN = pa.struct(
    {
        "observation": pa.string(),
        "action": pa.string(),
        "reward": pa.float64(),
        "prompt_ids": _IDS,
        "response_ids": _IDS,
        "logprobs": _LOGPROBS,
        "allowed_ids": _IDS,
        "allowed_counts": _IDS,
        "starts_segment": pa.bool_(),
        "completion": pa.string(),
        "policy_version": pa.int64(),
        "state_key": pa.string(),
        "valid": pa.bool_(),
        "finish_reason": pa.string(),
        "agent": pa.string(),
        "versions": _IDS,
    }
)
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "group": pa.string(),
        "task_id": pa.string(),
        "outcome": pa.string(),
        "outcome_reward": pa.float64(),
        "final_observation": pa.string(),
        "final_state_key": pa.string(),
        "environment": pa.string(),
        "split": pa.string(),
        "seed": pa.int64(),
        "sampling": _NUMBERS,
        "answer": pa.string(),
        "error": pa.string(),
        "metrics": _NUMBERS,
        "turns": pa.list_(_TURN),
        "exact": pa.binary(),
    }
)
_TURN_LISTS = {
    "prompt_ids", "response_ids", "logprobs", "allowed_ids", "allowed_counts", "versions",
}  # fmt: skip


def write_rows(path: Path, trajectories: Iterable[Trajectory]) -> None:
    """Write trajectories to a new file, a row group at a time."""
    remaining = iter(trajectories)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        while rows := list(islice(remaining, ROWS)):
            writer.write_table(_table(rows))


def read_rows(path: Path) -> Iterator[Trajectory]:
    """Yield the trajectories of a file.

    Raises:
        DataError: The file is missing, damaged, or not a file of trajectories.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = set(SCHEMA.names) - set(file.schema_arrow.names)
            if missing:
                raise DataError(f"{path} holds no trajectories: no column {sorted(missing)[0]!r}")
            for batch in file.iter_batches(ROWS):
                yield from _trajectories(pa.Table.from_batches([batch]))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())}") from None


def _table(rows: Sequence[Trajectory]) -> Any:
    exact = [None if _is_utf8(t) else encode(t) for t in rows]
    turns = [turn for t in rows for turn in t.turns]
    columns: dict[str, Sequence[Any]] = {
        "outcome": [t.outcome.value for t in rows],
        "sampling": [_items(t.sampling) for t in rows],
        "metrics": [_items(t.metrics) for t in rows],
        "exact": exact,
    }
    arrays = [
        _lists([len(t.turns) for t in rows], _turn_struct(turns))
        if field.name == "turns"
        else _array(columns.get(field.name) or [getattr(t, field.name) for t in rows], field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _turn_struct(turns: Sequence[Turn]) -> Any:
    columns: dict[str, Any] = {
        "prompt_ids": _id_lists([t.prompt_ids for t in turns], np.int32),
        "response_ids": _id_lists([t.response_ids for t in turns], np.int32),
        "logprobs": _id_lists([t.logprobs for t in turns], np.float32),
        "allowed_ids": _id_lists([t.allowed.ids if t.allowed else None for t in turns], np.int32),
        "allowed_counts": _id_lists(
            [t.allowed.counts if t.allowed else None for t in turns], np.int32
        ),
        "versions": _id_lists([t.versions for t in turns], np.int32),
    }
    arrays = [
        columns[field.name]
        if field.name in columns
        else _array([getattr(t, field.name) for t in turns], field.type)
        for field in _TURN
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(_TURN))


def _array(values: Sequence[Any], kind: Any) -> Any:
    if kind == pa.string():
        values = [None if value is None else _shown(value) for value in values]
    return pa.array(values, kind)


def _items(numbers: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(_shown(key), value) for key, value in numbers.items()]


def _shown(text: str) -> str:
    return text.encode(errors="replace").decode()


def _id_lists(parts: Sequence[npt.NDArray[Any] | None], dtype: Any) -> Any:
    absent = np.array([part is None for part in parts], np.bool_)
    given = [part for part in parts if part is not None]
    values = np.concatenate([np.empty(0, dtype), *given]).astype(dtype, copy=False)
    lengths = [0 if part is None else len(part) for part in parts]
    return _lists(lengths, pa.array(values), pa.array(absent) if absent.any() else None)


def _lists(lengths: Sequence[int], values: Any, absent: Any = None) -> Any:
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=absent)


def _is_utf8(trajectory: Trajectory) -> bool:
    texts = [getattr(trajectory, f.name) for f in SCHEMA if f.type == pa.string()]
    texts += [*trajectory.sampling, *trajectory.metrics]
    names = [f.name for f in _TURN if f.type == pa.string()]
    texts += [getattr(turn, name) for turn in trajectory.turns for name in names]
    try:
        "".join(text for text in texts if text is not None and isinstance(text, str)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _trajectories(table: Any) -> Iterator[Trajectory]:
    table = table.combine_chunks()
    turns_column = table.column("turns").combine_chunks()
    turns = iter(_turns(turns_column.flatten()))
    counts = turns_column.value_lengths().to_pylist()
    for row, count in zip(table.drop_columns(["turns"]).to_pylist(), counts, strict=True):
        own = list(islice(turns, count))
        exact = row.pop("exact")
        if exact is not None:
            yield decode(exact)
            continue
        row["outcome"] = Outcome(row["outcome"])
        row["sampling"], row["metrics"] = dict(row["sampling"]), dict(row["metrics"])
        trajectory = Trajectory(turns=own, **{name: row[name] for name in row if name in _OWN})
        check_columns(trajectory)
        yield trajectory


_OWN = set(SCHEMA.names) - {"turns", "exact"}


def _turns(struct: Any) -> Iterator[Turn]:
    plain = [field.name for field in _TURN if field.name not in _TURN_LISTS]
    columns = [struct.field(name).to_pylist() for name in plain]
    lists = {name: _parts(struct.field(name)) for name in _TURN_LISTS}
    for index, values in enumerate(zip(*columns, strict=True)):
        counts = lists["allowed_counts"](index)
        ids = lists["allowed_ids"](index)
        yield Turn(
            **dict(zip(plain, values, strict=True)),
            prompt_ids=_present(lists["prompt_ids"](index)),
            response_ids=_present(lists["response_ids"](index)),
            logprobs=_present(lists["logprobs"](index)),
            allowed=None if counts is None or ids is None else Allowed(ids, counts),
            versions=lists["versions"](index),
        )


def _parts(column: Any) -> Callable[[int], npt.NDArray[Any] | None]:
    """Return a function from a row to its own copy of the row's list, None where absent."""
    values = column.flatten().to_numpy(zero_copy_only=False)
    lengths = column.value_lengths()
    absent = lengths.is_null().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths.fill_null(0).to_numpy())])
    return lambda row: None if absent[row] else values[offsets[row] : offsets[row + 1]].copy()


def _present(values: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    if values is None:
        raise ValueError("a turn without token ids or log-probabilities")
    return values
