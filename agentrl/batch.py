"""`Batch`: trajectories as flat numpy columns plus offsets.

    tokens ──token_offsets──> turns ──turn_offsets──> trajectories ──trajectory_offsets──> groups

A turn's tokens are its `prompt_ids` followed by its `response_ids`. Every credit method is a few
vectorised lines over these columns and costs time linear in turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agentrl.errors import DataError
from agentrl.trajectory import Trajectory, Turn

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Trajectories of whole groups, in columns; infrastructure failures are left out."""

    token_ids: npt.NDArray[np.int32]
    """Shape [tokens]."""
    sampled: Bools
    """Whether the policy sampled the token: the loss mask, as data. Shape [tokens]."""
    logprobs: npt.NDArray[np.float32]
    """Of sampled tokens as drawn by the engine, NaN where none drew them; 0 elsewhere. Shape
    [tokens]."""
    allowed_ids: npt.NDArray[np.int32]
    """The sets that restricted tokens were drawn from, one after the other."""
    allowed_counts: npt.NDArray[np.int32]
    """Size of each token's set; 0 where decoding was free. Shape [tokens]."""
    token_offsets: Ints
    """Turn t holds tokens [t] to [t + 1]. Shape [turns + 1]."""
    rewards: Floats
    """Shape [turns]."""
    policy_versions: Ints
    """The version that sampled each turn, or its first id. Shape [turns]."""
    starts_segment: Bools
    """Shape [turns]."""
    valid: Bools
    """Shape [turns]."""
    cut_short: Bools
    """Whether sampling ended at the token limit. Shape [turns]."""
    observations: list[str]
    """What each turn acted on. Length [turns]."""
    next_observations: list[str]
    """What each turn's action returned. Length [turns]."""
    actions: list[str]
    """Length [turns]."""
    state_keys: list[str | None]
    """The situation each turn acted in. Length [turns]."""
    agents: list[str]
    """Length [turns]."""
    turn_offsets: Ints
    """Trajectory i holds turns [i] to [i + 1]. Shape [trajectories + 1]."""
    success: Bools
    """Shape [trajectories]."""
    truncated: Bools
    """Shape [trajectories]."""
    returns: Floats
    """What each trajectory earned: `Trajectory.reward`. Shape [trajectories]."""
    ids: list[str]
    """Trajectory ids. Length [trajectories]."""
    task_ids: list[str]
    """Length [trajectories]."""
    answers: list[str | None]
    """Length [trajectories]."""
    final_state_keys: list[str | None]
    """The situation each trajectory ended in. Length [trajectories]."""
    trajectory_offsets: Ints
    """Group g holds trajectories [g] to [g + 1]. Shape [groups + 1]."""
    groups: list[str]
    """Group names. Length [groups]."""
    versions: Ints | None = None
    """The version that sampled each token, -1 where none did; None: the weights changed within no
    turn, so that `policy_versions` says all. Shape [tokens]. See `token_versions`."""

    @classmethod
    def from_trajectories(cls, trajectories: Iterable[Trajectory]) -> Batch:
        """Gather trajectories into columns, groups together, in order of first appearance.

        Raises:
            DataError: A turn's log-probabilities, versions or allowed sets do not fit its ids.
        """
        scored = [t for t in trajectories if not t.outcome.is_infrastructure]
        order = {t.group: i for i, t in reversed(list(enumerate(scored)))}
        scored.sort(key=lambda t: order[t.group])
        for trajectory in scored:
            check_columns(trajectory)
        turns = [turn for trajectory in scored for turn in trajectory.turns]
        runs = [(name, len(list(run))) for name, run in groupby(scored, key=lambda t: t.group)]
        return cls(
            **_token_columns(turns),
            token_offsets=_offsets(len(t.prompt_ids) + len(t.response_ids) for t in turns),
            rewards=np.array([t.reward for t in turns], np.float64),
            policy_versions=np.array([t.policy_version for t in turns], np.int64),
            starts_segment=np.array([t.starts_segment for t in turns], np.bool_),
            valid=np.array([t.valid for t in turns], np.bool_),
            cut_short=np.array([t.finish_reason == "length" for t in turns], np.bool_),
            observations=[t.observation for t in turns],
            next_observations=[after for t in scored for _, after in t.transitions()],
            actions=[t.action for t in turns],
            state_keys=[t.state_key for t in turns],
            agents=[t.agent for t in turns],
            turn_offsets=_offsets(len(t.turns) for t in scored),
            success=np.array([t.success for t in scored], np.bool_),
            truncated=np.array([t.outcome.is_truncated for t in scored], np.bool_),
            returns=np.array([t.reward for t in scored], np.float64),
            ids=[t.id for t in scored],
            task_ids=[t.task_id for t in scored],
            answers=[t.answer for t in scored],
            final_state_keys=[t.final_state_key for t in scored],
            trajectory_offsets=_offsets(count for _, count in runs),
            groups=[name for name, _ in runs],
        )

    @classmethod
    def from_jsonl(cls, path: str | Path) -> Batch:
        """Gather the trajectories of a `.jsonl` or `.jsonl.zst` file; see `agentrl.storage`.

        Raises:
            DataError: The file is missing or damaged; names the line.
        """
        from agentrl.storage import Reader

        return cls.from_trajectories(Reader(path))

    @classmethod
    def from_parquet(cls, path: str | Path) -> Batch:
        """Gather the trajectories of a Parquet file.

        Raises:
            DataError: The file is missing or damaged.
            MissingExtraError: pyarrow is not installed.
        """
        from agentrl.storage.parquet import read_rows

        return cls.from_trajectories(read_rows(Path(path)))

    @property
    def num_tokens(self) -> int:
        """Tokens in the batch."""
        return len(self.token_ids)

    @property
    def num_turns(self) -> int:
        """Turns in the batch."""
        return len(self.rewards)

    @property
    def num_trajectories(self) -> int:
        """Trajectories in the batch."""
        return len(self.returns)

    @property
    def num_groups(self) -> int:
        """Groups in the batch."""
        return len(self.groups)

    def trajectory_of_turn(self) -> Ints:
        """Return each turn's trajectory index, shape [turns]."""
        return np.repeat(np.arange(self.num_trajectories), np.diff(self.turn_offsets))

    def group_of_trajectory(self) -> Ints:
        """Return each trajectory's group index, shape [trajectories]."""
        return np.repeat(np.arange(self.num_groups), np.diff(self.trajectory_offsets))

    def turn_of_token(self) -> Ints:
        """Return each token's turn index, shape [tokens]."""
        return np.repeat(np.arange(self.num_turns), np.diff(self.token_offsets))

    def token_versions(self) -> Ints:
        """Return the version that sampled each token, -1 where none did, shape [tokens]."""
        if self.versions is not None:
            return self.versions
        of_turns = np.repeat(self.policy_versions, np.diff(self.token_offsets))
        return np.where(self.sampled, of_turns, -1)

    def sampled_per_turn(self) -> Ints:
        """Return how many tokens the policy sampled in each turn, shape [turns]."""
        counts = np.zeros(self.num_turns, np.int64)
        held = np.flatnonzero(np.diff(self.token_offsets) > 0)
        if len(held):
            counts[held] = np.add.reduceat(self.sampled, self.token_offsets[held], dtype=np.int64)
        return counts

    def segment_offsets(self) -> Ints:
        """Return turn offsets of the training segments (a trajectory's start is always one)."""
        starts = self.starts_segment.copy()
        starts[self.turn_offsets[:-1][np.diff(self.turn_offsets) > 0]] = True
        return np.append(np.flatnonzero(starts), self.num_turns)


def check_columns(trajectory: Trajectory) -> None:
    """Refuse a trajectory whose turns would not fit into columns.

    Raises:
        DataError: A turn's log-probabilities, versions or allowed sets do not fit its ids.
    """
    for position, turn in enumerate(trajectory.turns):
        length = len(turn.response_ids)
        where = f"turn {position} of trajectory {trajectory.id!r}"
        if len(turn.logprobs) not in (0, length):
            raise DataError(
                f"{where} has {length} response ids but {len(turn.logprobs)} log-probabilities"
            )
        if turn.versions is not None and len(turn.versions) != length:
            raise DataError(
                f"{where} has {length} response ids but {len(turn.versions)} policy versions"
            )
        if turn.allowed and len(turn.allowed.counts) != length:
            raise DataError(
                f"{where} has {length} response ids but {len(turn.allowed.counts)} allowed sets"
            )
        if turn.allowed and (
            (turn.allowed.counts < 0).any()
            or len(turn.allowed.ids) != int(turn.allowed.counts.sum())
        ):
            raise DataError(f"{where} has allowed sets whose counts do not add up to their ids")


def _offsets(lengths: Iterable[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, np.int64))]).astype(np.int64)


def _token_columns(turns: Sequence[Turn]) -> dict[str, Any]:
    """Return the token-level columns: prompt and response of every turn, one after the other."""
    lengths = [n for t in turns for n in (len(t.prompt_ids), len(t.response_ids))]
    sampled = np.repeat(np.tile([False, True], len(turns)), lengths)
    logprobs = np.zeros(len(sampled), np.float32)
    logprobs[sampled] = _join([_drawn(turn) for turn in turns], np.float32)
    restricted = [turn.allowed for turn in turns if turn.allowed]
    counts = np.zeros(len(sampled), np.int32)
    if restricted:
        counts[sampled] = _join([_allowed_counts(turn) for turn in turns], np.int32)
    return {
        "token_ids": _join(
            [ids for t in turns for ids in (t.prompt_ids, t.response_ids)], np.int32
        ),
        "sampled": sampled,
        "logprobs": logprobs,
        "allowed_ids": _join([allowed.ids for allowed in restricted], np.int32),
        "allowed_counts": counts,
        "versions": _versions(turns, sampled),
    }


def _versions(turns: Sequence[Turn], sampled: Bools) -> Ints | None:
    """Return the version that sampled each token, None where turns have one version each."""
    if all(turn.versions is None for turn in turns):
        return None
    versions = np.full(len(sampled), -1, np.int64)
    versions[sampled] = _join([_turn_versions(turn) for turn in turns], np.int64)
    return versions


def _turn_versions(turn: Turn) -> Ints:
    if turn.versions is not None:
        return turn.versions.astype(np.int64)
    return np.full(len(turn.response_ids), turn.policy_version, np.int64)


def _drawn(turn: Turn) -> npt.NDArray[np.float32]:
    if len(turn.logprobs) == len(turn.response_ids):
        return turn.logprobs
    return np.full(len(turn.response_ids), np.nan, np.float32)


def _allowed_counts(turn: Turn) -> npt.NDArray[np.int32]:
    return turn.allowed.counts if turn.allowed else np.zeros(len(turn.response_ids), np.int32)


def _join(parts: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.empty(0, dtype)
