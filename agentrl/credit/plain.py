"""Trajectories of any framework, with the signals that some methods need; one line of JSON each.

    {"group": "task 7", "id": "7-0", "outcome": 1.0, "turns": [
        {"state_key": "hall", "action": "go north", "observation": "A kitchen.",
         "token_entropy": [0.7, 0.1], "answer_logprob_before": -2.1, "answer_logprob": -1.4,
         "prm_log_ratio": 0.3}]}

It is the format of `agentrl.storage` with the fields of signals added, and strict: an unknown key
is refused. Docs: docs/credit.md. What is not written means

    outcome          the sum of the turns' rewards; where both are given, the last turn is paid
                     what the rewards lack to the outcome
    reward           0
    tokens           as many as there are entropies, log-probabilities or values; else 1
    success          whether the outcome is above 0
    observation      (of the trajectory: what the agent saw first) the first turn's state_key
    answer_logprob_before    the answer_logprob of the turn before
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agentrl.batch import check_columns
from agentrl.credit.lines import read_lines
from agentrl.errors import DataError, did_you_mean
from agentrl.storage.record import Number, TrajectoryFields, TurnRecord, from_record
from agentrl.trajectory import Outcome, Trajectory


class PlainTurn(TurnRecord, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A turn and its signals."""

    token_entropy: list[float] | None = None
    answer_logprob_before: float | None = None
    answer_logprob: float | None = None
    prm_log_ratio: float | None = None
    process_score: float | None = None
    value: float | list[float] | None = None
    ref_logprobs: list[float] | None = None


class PlainTrajectory(
    TrajectoryFields, omit_defaults=True, forbid_unknown_fields=True, kw_only=True
):
    """A trajectory, its turns with signals."""

    outcome: Number | bool | None = None
    success: bool | None = None
    truncated: bool | None = None
    final_value: float | None = None
    turns: list[PlainTurn]


class PlainLine(msgspec.Struct, frozen=True):
    """A line that was read."""

    number: int
    """The line's number in its file, from 1."""
    record: PlainTrajectory
    trajectory: Trajectory


MOST_TOKENS = 1 << 24
"""No turn samples more."""
_DECODER = msgspec.json.Decoder(PlainTrajectory)
_PLACE = re.compile(r" - at `\$(.*)`$")
_UNKNOWN = re.compile(r"unknown field `(.*)`")
_MISSING = re.compile(r"missing required field `(.*)`")


def read_plain(path: str | Path) -> list[PlainLine]:
    """Return the trajectories of a file; JSON lines, or such lines compressed with Zstandard.

    Raises:
        DataError: The file is missing, empty or damaged, or a line is not a trajectory; names the
            line, and trajectory and turn where there is one.
    """
    path = Path(path)
    lines = [_read(line, number, path) for number, line in read_lines(path)]
    if not lines:
        raise DataError(f"{path} holds no trajectories: it is empty")
    _refuse_twins(lines, path)
    return lines


def plain_lines(records: Iterable[Mapping[str, Any]]) -> list[PlainLine]:
    """Return trajectories that are in memory already, as dictionaries of the same form.

    Raises:
        DataError: One is not a trajectory; names its place, from 1, in the role of a line.
    """
    lines = [
        _finished(_converted(record, f"record {number}"), number, f"record {number}")
        for number, record in enumerate(records, 1)
    ]
    _refuse_twins(lines, "the records")
    return lines


def _converted(record: Mapping[str, Any], where: str) -> PlainTrajectory:
    tree = msgspec.to_builtins(record, enc_hook=lambda value: value.tolist())
    try:
        return msgspec.convert(tree, PlainTrajectory)
    except msgspec.ValidationError as error:
        line = json.dumps(tree, default=str).encode()
        raise DataError(f"{where}: {_explained(str(error), line)}") from None


def _read(line: bytes, number: int, path: Path) -> PlainLine:
    where = f"{path}, line {number}"
    return _finished(_decode(line, where), number, where)


def _finished(record: PlainTrajectory, number: int, where: str) -> PlainLine:
    try:
        outcome = _complete(record)
        trajectory = from_record(record, outcome, record.turns)
        check_columns(trajectory)
    except (ValueError, OverflowError, DataError) as error:
        raise DataError(f"{where}: {error}") from None
    return PlainLine(number, record, trajectory)


def _decode(line: bytes, where: str) -> PlainTrajectory:
    try:
        return _DECODER.decode(line)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: {_explained(str(error), line)}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        return _decode_leniently(line, where, error)


def _decode_leniently(line: bytes, where: str, problem: Exception) -> PlainTrajectory:
    """Read what Python's own writer makes of lone surrogates; say what else is wrong."""
    try:
        tree = json.loads(line, parse_constant=_refuse_constant)
        return msgspec.convert(tree, PlainTrajectory)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: {_explained(str(error), line)}") from None
    except _ConstantError as error:
        raise DataError(
            f"{where} holds {error}, which is no number; leave the field out, or drop the "
            "trajectory"
        ) from None
    except (ValueError, RecursionError):
        raise DataError(
            f"{where} is not JSON ({problem}); a file holds one trajectory a line"
        ) from None


class _ConstantError(Exception):
    """A word for a number that JSON does not have."""


def _refuse_constant(word: str) -> Any:
    raise _ConstantError(word)


def _explained(problem: str, line: bytes) -> str:
    """Return msgspec's complaint with the trajectory's name, and a hint where a key is unknown."""
    found = _PLACE.search(problem)
    problem, place = (problem[: found.start()], found.group(1)) if found else (problem, "")
    turn = re.match(r"\.turns\[(\d+)\]\.?", place)
    if turn:
        field = place[turn.end() :]
        where = f"turn {turn.group(1)} of {_name(line)}"
        known = PlainTurn.__struct_fields__
    else:
        field, where, known = place.lstrip("."), _name(line), PlainTrajectory.__struct_fields__
    if unknown := _UNKNOWN.search(problem):
        hint = did_you_mean(unknown.group(1), known)
        return f"{where} has the unknown key {unknown.group(1)!r}; {hint}"
    if missing := _MISSING.search(problem):
        return f"{where} has no {missing.group(1)!r}"
    if not place and "got" in problem:
        return f"not a trajectory ({problem}); write one JSON object a line"
    return f"{where}: {field}: {problem}" if field else f"{where}: {problem}"


def _name(line: bytes) -> str:
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError):
        return "the trajectory"
    name = tree.get("id") if isinstance(tree, dict) else None
    return f"trajectory {name!r}" if isinstance(name, str) else "the trajectory"


def _complete(record: PlainTrajectory) -> float:
    """Write down what is left out, refuse what makes no sense, and return the outcome.

    See the module's docstring for what is left out.
    """
    _check_numbers(record)
    for position, turn in enumerate(record.turns):
        _complete_tokens(turn, f"turn {position} of trajectory {record.id!r}")
    if record.ended is not None:
        _refuse_second_ending(record)
        record.outcome = outcome = _outcome(record)
        return outcome
    for position, turn in enumerate(record.turns):
        if turn.state_key is None:
            raise DataError(
                f"turn {position} of trajectory {record.id!r} has no 'state_key'; give the "
                "situation that it acted in, a text that is equal where situations are"
            )
    if not record.observation and record.turns:
        record.observation = record.turns[0].state_key or ""
    record.outcome = outcome = _outcome(record)
    if record.turns:
        last = record.turns[-1]
        last.reward = float(last.reward or 0.0) + (outcome - _paid(record))
    record.ended = _ending(record, outcome)
    return outcome


def _outcome(record: PlainTrajectory) -> float:
    if record.outcome is not None:
        return float(record.outcome)
    if all(turn.reward is None for turn in record.turns):
        raise DataError(
            f"trajectory {record.id!r} has no 'outcome'; give what it earned, or rewards of turns"
        )
    return _paid(record)


def _paid(record: PlainTrajectory) -> float:
    return float(sum(float(turn.reward or 0.0) for turn in record.turns))


def _ending(record: PlainTrajectory, outcome: float) -> Outcome:
    if record.truncated and record.success:
        raise DataError(
            f"trajectory {record.id!r} is both 'success' and 'truncated'; a solved task ended"
        )
    if record.truncated:
        return Outcome.TRUNCATED_TURNS
    solved = outcome > 0 if record.success is None else record.success
    return Outcome.SUCCESS if solved else Outcome.FAILURE


def _refuse_second_ending(record: PlainTrajectory) -> None:
    for word in ("success", "truncated"):
        if getattr(record, word) is not None:
            raise DataError(
                f"trajectory {record.id!r} has both 'ended' and {word!r}; keep one of them"
            )


def _complete_tokens(turn: PlainTurn, where: str) -> None:
    """Give the turn ids and log-probabilities of its sampled tokens, unknown ones where absent."""
    given = dict(_counts(turn))
    if len(set(given.values())) > 1:
        told = ", ".join(f"{name}: {count}" for name, count in given.items())
        raise DataError(f"{where} has different numbers of sampled tokens ({told})")
    count = next(iter(given.values()), 1)
    if turn.response_ids is None:
        if not 0 <= count <= MOST_TOKENS:
            raise DataError(f"{where} has tokens {count}; give how many were sampled")
        turn.response_ids = [-1] * count
        if not turn.logprobs:
            turn.logprobs = [math.nan] * count


def _counts(turn: PlainTurn) -> Iterator[tuple[str, int]]:
    if turn.response_ids is not None:
        yield "response_ids", len(turn.response_ids)
    if turn.tokens is not None:
        yield "tokens", turn.tokens
    if turn.logprobs:
        size = 4 if isinstance(turn.logprobs, bytes) else 1
        yield "logprobs", len(turn.logprobs) // size
    for name in ("token_entropy", "ref_logprobs", "value"):
        values = getattr(turn, name)
        if isinstance(values, list):
            yield name, len(values)


def _check_numbers(record: PlainTrajectory) -> None:
    """Refuse "nan" and "inf", which the format writes as words, in what credit reads."""
    if record.ended is not None and record.ended.is_infrastructure:
        return
    own = f"trajectory {record.id!r}"
    named = [(f"{own} has the outcome", record.outcome)]
    named += [(f"turn {i} of {own} has the reward", t.reward) for i, t in enumerate(record.turns)]
    for what, value in named:
        if value is not None and not math.isfinite(float(value)):
            raise DataError(
                f"{what} {value}; rewards must be finite: mend the reward function or drop the "
                "trajectory"
            )


def _refuse_twins(lines: Iterable[PlainLine], path: Path | str) -> None:
    first: dict[tuple[str, str], int] = {}
    for line in lines:
        key = (line.record.group, line.record.id)
        if key in first:
            raise DataError(
                f"{path}, line {line.number}: trajectory {key[1]!r} of group {key[0]!r} is on line "
                f"{first[key]} already; ids must differ within a group"
            )
        first[key] = line.number
