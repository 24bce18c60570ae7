"""Stored trajectories, ready for credit: their batch, their signals, and which signals they lack.

Signals come with files that hold them (see `agentrl.credit.plain`). A signal is offered where every
turn that must have it does; for all others `Stored.lacks` says what is missing where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agentrl.batch import Batch, Floats
from agentrl.credit.base import CreditMethod
from agentrl.credit.levels import level_of
from agentrl.credit.lines import starts_with
from agentrl.credit.plain import PlainLine, PlainTurn, plain_lines, read_plain
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals, Trajectory

FIELDS = {
    "entropy": "token_entropy",
    "answer_logprob": "answer_logprob",
    "prm_log_ratio": "prm_log_ratio",
    "process_score": "process_score",
    "value": "value",
    "ref_logprob": "ref_logprobs",
}
"""The field of a turn that holds each signal."""
_MENDS = {
    "entropy": "give 'token_entropy' on every turn, one number per sampled token",
    "answer_logprob": "give 'answer_logprob_before' on the first turn and 'answer_logprob' on all "
    "but the last",
    "value": "give 'value' on every turn, one number or one per sampled token",
    "ref_logprob": "give 'logprobs' and 'ref_logprobs' on every turn, one number per sampled token",
}


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Trajectories of a file."""

    trajectories: list[Trajectory]
    """In the order of the file, infrastructure failures included."""
    batch: Batch
    """The scored ones, groups together."""
    places: list[int | None]
    """Where in the batch each trajectory is; None: not scored. In the order of the file."""
    signals: Signals
    lacks: dict[str, str]
    """Why a signal is not offered, by its name."""

    @classmethod
    def from_trajectories(cls, trajectories: Iterable[Trajectory]) -> Stored:
        """Gather trajectories that have no signals.

        Raises:
            DataError: A turn's log-probabilities or allowed sets do not fit its ids.
        """
        listed = list(trajectories)
        lacks = dict.fromkeys(FIELDS, "the trajectories are stored without signals")
        return cls(listed, Batch.from_trajectories(listed), _places(listed), {}, lacks)

    @classmethod
    def read(cls, path: str | Path) -> Stored:
        """Read a file of any format that is known: JSON lines, plain or compressed, or Parquet.

        Raises:
            DataError: The file is missing, empty or damaged; names the line.
            MissingExtraError: Parquet without pyarrow.
        """
        path = Path(path)
        if path.is_file() and starts_with(path, b"PAR1"):
            from agentrl.storage.parquet import read_rows

            return cls.from_trajectories(read_rows(path))
        return cls.from_lines(read_plain(path))

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]]) -> Stored:
        """Gather trajectories that are in memory, as dictionaries of the form of a plain line.

        Raises:
            DataError: One is not a trajectory; names its place, from 1.
        """
        return cls.from_lines(plain_lines(records))

    @classmethod
    def from_lines(cls, lines: Sequence[PlainLine]) -> Stored:
        """Gather trajectories and the signals that their lines hold."""
        trajectories = [line.trajectory for line in lines]
        batch, places = Batch.from_trajectories(trajectories), _places(trajectories)
        scored = {at: line for at, line in zip(places, lines, strict=True) if at is not None}
        signals: Signals = {}
        lacks: dict[str, str] = {}
        turns = [
            _Place(scored[at], position, turn)
            for at in range(len(scored))
            for position, turn in enumerate(scored[at].record.turns)
        ]
        for name, gather in _GATHER.items():
            try:
                signals[name] = gather(turns, batch)
            except _LacksError as lack:
                field = FIELDS[name]
                given = any(getattr(place.turn, field) is not None for place in turns)
                lacks[name] = str(lack) if given else f"no turn has {field!r}"
        beyond = [scored[at].record.final_value for at in range(len(scored))]
        if scored and None not in beyond:
            signals["final_value"] = np.array(beyond, np.float64)
        return cls(trajectories, batch, places, signals, lacks)

    def per_trajectory(self, values: Floats) -> list[Floats]:
        """Return values per turn, one array per trajectory, in the order they were stored.

        Args:
            values: Shape [turns]; values per token are split alike, shape [tokens].

        Returns:
            One array per trajectory; an empty one where it was not scored.

        Raises:
            ConfigError: The values are of another batch.
        """
        at_tokens = level_of(self.batch, values) == "token"
        offsets = self.batch.turn_offsets
        offsets = self.batch.token_offsets[offsets] if at_tokens else offsets
        parts = np.split(values, offsets[1:-1]) if len(offsets) > 1 else []
        return [np.empty(0) if at is None else parts[at] for at in self.places]

    def check(self, methods: Iterable[CreditMethod], hint: str = "") -> None:
        """Refuse methods whose signals are missing.

        Args:
            methods: Those that are to run.
            hint: What else can be done.

        Raises:
            ConfigError: Names the method, the signal, where it is missing and what to give.
        """
        for method in methods:
            for name in sorted(method.needs - self.signals.keys()):
                lack = self.lacks.get(name, "no file of trajectories holds it")
                mend = _MENDS.get(name, f"give {FIELDS.get(name, name)!r} on every turn")
                raise ConfigError(
                    f"credit method {method.name!r} needs the signal {name!r}, but {lack}; {mend} "
                    "(it takes a model: none can be made from text alone), or leave "
                    f"{method.name} out{hint}"
                )


@dataclass(frozen=True, slots=True)
class _Place:
    """A turn in a file."""

    line: PlainLine
    position: int
    turn: PlainTurn

    @property
    def is_last(self) -> bool:
        return self.position == len(self.line.record.turns) - 1

    def lacks(self, field: str) -> _LacksError:
        return _LacksError(
            f"turn {self.position} of trajectory {self.line.record.id!r} (line "
            f"{self.line.number}) has no {field!r}"
        )


class _LacksError(Exception):
    """A turn has no value for a signal."""


def _places(trajectories: Sequence[Trajectory]) -> list[int | None]:
    """Return where `Batch.from_trajectories` puts each trajectory."""
    scored = [i for i, t in enumerate(trajectories) if not t.outcome.is_infrastructure]
    order = {trajectories[i].group: i for i in reversed(scored)}
    scored.sort(key=lambda i: order[trajectories[i].group])
    places: list[int | None] = [None] * len(trajectories)
    for at, i in enumerate(scored):
        places[i] = at
    return places


def _entropy(turns: Sequence[_Place], batch: Batch) -> Floats:
    return _per_token(turns, batch, "token_entropy")


def _reference(turns: Sequence[_Place], batch: Batch) -> Floats:
    for place in turns:
        if place.turn.response_ids and not place.turn.logprobs:
            raise place.lacks("logprobs")
    values = _per_token(turns, batch, "ref_logprobs")
    unknown = np.isnan(batch.logprobs) & batch.sampled
    if unknown.any():
        at = int(batch.turn_of_token()[np.argmax(unknown)])
        raise turns[at].lacks("logprobs")
    return values


def _value(turns: Sequence[_Place], batch: Batch) -> Floats:
    return _per_token(turns, batch, "value")


def _per_token(turns: Sequence[_Place], batch: Batch, field: str) -> Floats:
    """Return a turn's values at its sampled tokens, 0 elsewhere; shape [tokens]."""
    parts: list[float] = []
    for place, count in zip(turns, batch.sampled_per_turn().tolist(), strict=True):
        values = getattr(place.turn, field)
        if values is None and count:
            raise place.lacks(field)
        parts += values if isinstance(values, list) else [values] * count
    column = np.zeros(batch.num_tokens)
    column[batch.sampled] = parts
    return column


def _answer(turns: Sequence[_Place], batch: Batch) -> Floats:
    """Return beliefs before and after each turn; of a last turn both may be missing."""
    rows = np.full((batch.num_turns, 2), np.nan)
    before: float | None = None
    any_given = False
    for row, place in enumerate(turns):
        turn = place.turn
        before = before if place.position else None
        before = before if turn.answer_logprob_before is None else turn.answer_logprob_before
        any_given |= turn.answer_logprob is not None
        for column, value in enumerate((before, turn.answer_logprob)):
            if value is None and not place.is_last:
                raise place.lacks("answer_logprob" if column else "answer_logprob_before")
            rows[row, column] = np.nan if value is None else value
        before = turn.answer_logprob
    if turns and not any_given:
        raise turns[0].lacks("answer_logprob")
    return rows


def _prm(turns: Sequence[_Place], batch: Batch) -> Floats:
    return _per_turn(turns, "prm_log_ratio")


def _process_score(turns: Sequence[_Place], batch: Batch) -> Floats:
    return _per_turn(turns, "process_score")


def _per_turn(turns: Sequence[_Place], field: str) -> Floats:
    values = [getattr(place.turn, field) for place in turns]
    if None in values:
        raise turns[values.index(None)].lacks(field)
    return np.array(values, np.float64)


_GATHER: dict[str, Callable[[Sequence[_Place], Batch], Floats]] = {
    "entropy": _entropy,
    "answer_logprob": _answer,
    "prm_log_ratio": _prm,
    "process_score": _process_score,
    "value": _value,
    "ref_logprob": _reference,
}
