"""One trajectory as one line of JSON.

The four keys `group`, `id`, `outcome` and `turns` suffice, so that any framework can write such a
file; all other keys are optional, and unknown ones are ignored:

    {"group": "task 7", "id": "7-0", "outcome": 1.0, "turns": [
        {"action": "go north", "observation": "A hall.", "state_key": "room", "tokens": 4}]}

Keys of the trajectory
    outcome        what the episode earned: a number (true and false count as 1 and 0)
    ended          how it ended, a word of `Outcome`; absent: success where outcome > 0
    observation    the first observation
    task_id        absent: the group
    and final_state_key, environment, split, seed, sampling, answer, error, metrics

Keys of a turn
    action         what the environment was given
    observation    what the action returned
    reward         what the environment paid; where `ended` and all rewards are absent (or 0), the
                   last turn is paid the outcome
    state_key      the situation acted in
    tokens         how many tokens were sampled, where the ids are not known: they are read as id
                   -1 with log-probability NaN
    prompt_ids, response_ids     numbers
    logprobs       numbers, or base64 of little-endian float32, which is exact
    versions       the policy version that sampled each id, where it changed within the response
    and allowed_ids, allowed_counts, agent, starts_segment, completion, policy_version, valid,
    finish_reason

Numbers that JSON cannot write are the words "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from agentrl.batch import check_columns
from agentrl.errors import DataError
from agentrl.trajectory import Allowed, Outcome, Trajectory, Turn

Number = float | Literal["nan", "inf", "-inf"]


class TurnRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A turn in a file."""

    action: str
    observation: str = ""
    reward: Number | None = None
    state_key: str | None = None
    tokens: int | None = None
    agent: str = "agent"
    prompt_ids: list[int] = []
    response_ids: list[int] | None = None
    logprobs: bytes | list[float] = b""
    allowed_ids: list[int] = []
    allowed_counts: list[int] | None = None
    starts_segment: bool = True
    completion: str = ""
    policy_version: int = 0
    valid: bool = True
    finish_reason: str = "stop"
    versions: list[int] | None = None


class TrajectoryFields(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What every form of a trajectory in a file has, besides its outcome and turns."""

    group: str
    id: str
    ended: Outcome | None = None
    task_id: str | None = None
    observation: str = ""
    final_state_key: str | None = None
    environment: str = ""
    split: str = ""
    seed: int = 0
    sampling: dict[str, Number] = {}
    answer: str | None = None
    error: str | None = None
    metrics: dict[str, Number] = {}


class TrajectoryRecord(TrajectoryFields, omit_defaults=True, kw_only=True):
    """A trajectory in a file."""

    outcome: Number | bool
    turns: list[TurnRecord]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(TrajectoryRecord)


class MalformedError(DataError):
    """A line is not JSON: at the end of a file, a sign that it was cut off."""


def encode(trajectory: Trajectory) -> bytes:
    """Return a trajectory as one line of JSON, without the line break."""
    record = _to_record(trajectory)
    try:
        return _ENCODER.encode(record)
    except (UnicodeEncodeError, OverflowError):
        # Lone surrogates and integers beyond 64 bits: the standard library writes both.
        return json.dumps(msgspec.to_builtins(record), separators=(",", ":")).encode()


def decode(line: bytes) -> Trajectory:
    """Return the trajectory that a line holds.

    Raises:
        MalformedError: The line is not JSON.
        DataError: It is, but not of a trajectory; says what is wrong.
    """
    try:
        record = _parse(line)
        trajectory = from_record(record, float(record.outcome), record.turns)
    except (ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"not a trajectory: {error}") from None
    check_columns(trajectory)
    return trajectory


def _parse(line: bytes) -> TrajectoryRecord:
    try:
        return _DECODER.decode(line)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as problem:
        # NaN and Infinity as Python writes them, and lone surrogates.
        try:
            tree = json.loads(line)
        except ValueError:
            raise MalformedError(f"not JSON: {problem}") from None
        return msgspec.convert(tree, TrajectoryRecord)


def _to_record(trajectory: Trajectory) -> TrajectoryRecord:
    first = trajectory.turns[0].observation if trajectory.turns else trajectory.final_observation
    return TrajectoryRecord(
        group=trajectory.group,
        id=trajectory.id,
        outcome=_number(trajectory.reward),
        ended=trajectory.outcome,
        task_id=trajectory.task_id,
        observation=first,
        final_state_key=trajectory.final_state_key,
        environment=trajectory.environment,
        split=trajectory.split,
        seed=int(trajectory.seed),
        sampling=_numbers(trajectory.sampling),
        answer=trajectory.answer,
        error=trajectory.error,
        metrics=_numbers(trajectory.metrics),
        turns=[_turn_record(turn, returned) for turn, returned in trajectory.transitions()],
    )


def _turn_record(turn: Turn, returned: str) -> TurnRecord:
    allowed = turn.allowed
    return TurnRecord(
        action=turn.action,
        observation=returned,
        reward=_number(turn.reward),
        state_key=turn.state_key,
        agent=turn.agent,
        prompt_ids=turn.prompt_ids.tolist(),
        response_ids=turn.response_ids.tolist(),
        logprobs=turn.logprobs.astype("<f4", copy=False).tobytes(),
        allowed_ids=allowed.ids.tolist() if allowed else [],
        allowed_counts=allowed.counts.tolist() if allowed else None,
        starts_segment=bool(turn.starts_segment),
        completion=turn.completion,
        policy_version=int(turn.policy_version),
        valid=bool(turn.valid),
        finish_reason=turn.finish_reason,
        versions=turn.versions.tolist() if turn.versions is not None else None,
    )


def from_record(
    record: TrajectoryFields, outcome: float, records: Sequence[TurnRecord]
) -> Trajectory:
    """Return the trajectory that a record in a file describes, with its outcome and turns."""
    if record.ended is None:
        _pay_last_turn(records, outcome)
    # What a turn acted on is what the action before it returned.
    acted_on = [record.observation, *(turn.observation for turn in records)]
    turns = [_turn(turn, seen) for turn, seen in zip(records, acted_on, strict=False)]
    total = float(sum(turn.reward for turn in turns))
    ended = record.ended or (Outcome.SUCCESS if outcome > 0 else Outcome.FAILURE)
    return Trajectory(
        id=record.id,
        group=record.group,
        task_id=record.group if record.task_id is None else record.task_id,
        turns=turns,
        outcome=ended,
        final_observation=acted_on[-1],
        final_state_key=record.final_state_key,
        environment=record.environment,
        split=record.split,
        seed=record.seed,
        sampling={key: float(value) for key, value in record.sampling.items()},
        answer=record.answer,
        error=record.error,
        metrics={key: float(value) for key, value in record.metrics.items()},
        outcome_reward=None if _same(total, outcome) else outcome,
    )


def _turn(record: TurnRecord, observation: str) -> Turn:
    response, logprobs = _response(record)
    allowed = None
    if record.allowed_counts is not None:
        counts = np.array(record.allowed_counts, np.int32)
        allowed = Allowed(np.array(record.allowed_ids, np.int32), counts)
    return Turn(
        observation=observation,
        action=record.action,
        reward=0.0 if record.reward is None else float(record.reward),
        prompt_ids=np.array(record.prompt_ids, np.int32),
        response_ids=response,
        logprobs=logprobs,
        allowed=allowed,
        starts_segment=record.starts_segment,
        completion=record.completion,
        policy_version=record.policy_version,
        state_key=record.state_key,
        valid=record.valid,
        finish_reason=record.finish_reason,
        agent=record.agent,
        versions=None if record.versions is None else np.array(record.versions, np.int32),
    )


def _response(record: TurnRecord) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    if record.response_ids is None:
        count = record.tokens or 0
        return np.full(count, -1, np.int32), np.full(count, np.nan, np.float32)
    ids = np.array(record.response_ids, np.int32)
    if isinstance(record.logprobs, bytes):
        return ids, np.frombuffer(record.logprobs, "<f4").astype(np.float32)
    return ids, np.array(record.logprobs, np.float32)


def _pay_last_turn(turns: Sequence[TurnRecord], outcome: float) -> None:
    if turns and not any(turn.reward for turn in turns):
        turns[-1].reward = outcome


def _same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


def _number(value: float) -> Any:
    return float(value) if math.isfinite(value) else str(float(value))


def _numbers(values: Mapping[str, float]) -> dict[str, Any]:
    return {key: _number(value) for key, value in values.items()}
