from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.errors import DataError
from agentrl.trajectory import Allowed, Outcome, Trajectory, Turn


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    prompt, response = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    allowed = None
    if draw(st.booleans()):
        counts = draw(st.lists(st.integers(1, 3), min_size=response, max_size=response))
        allowed = Allowed(np.arange(sum(counts), dtype=np.int32) + 7, np.array(counts, np.int32))
    return Turn(
        observation=draw(st.text(max_size=3)),
        action=draw(st.text(max_size=3)),
        reward=draw(st.floats(-5, 5)),
        prompt_ids=np.arange(prompt, dtype=np.int32) + 100,
        response_ids=np.arange(response, dtype=np.int32) + 200,
        logprobs=-np.arange(1, response + 1, dtype=np.float32),
        allowed=allowed,
        starts_segment=draw(st.booleans()),
        policy_version=draw(st.integers(0, 5)),
        state_key=draw(st.none() | st.text(max_size=3)),
        valid=draw(st.booleans()),
        agent=draw(st.sampled_from(["a", "b"])),
        versions=draw(st.none() | versions(response)),
    )


def versions(count: int) -> st.SearchStrategy[Any]:
    numbers = st.lists(st.integers(0, 9), min_size=count, max_size=count)
    return numbers.map(lambda drawn: np.array(drawn, np.int32))


@st.composite
def episodes(draw: st.DrawFn) -> list[Trajectory]:
    shapes = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.lists(turns(), max_size=4), st.sampled_from(Outcome)),
            max_size=8,
        )
    )
    return [
        Trajectory(f"t{i}", f"g{group}", f"task {group}", made, outcome, answer=draw(st.none()))
        for i, (group, made, outcome) in enumerate(shapes)
    ]


@given(given_episodes=episodes())
def test_columns_say_what_the_records_say(given_episodes: list[Trajectory]) -> None:
    batch = Batch.from_trajectories(iter(given_episodes))
    scored = [t for t in given_episodes if not t.outcome.is_infrastructure]
    by_id = {t.id: t for t in scored}
    assert sorted(batch.ids) == sorted(by_id)
    in_order = [by_id[id_] for id_ in batch.ids]
    assert batch.groups == list(dict.fromkeys(t.group for t in scored))
    assert [batch.groups[g] for g in batch.group_of_trajectory()] == [t.group for t in in_order]
    same_group = [[t.id for t in scored if t.group == g] for g in batch.groups]
    assert batch.ids == [id_ for group in same_group for id_ in group]
    assert batch.success.tolist() == [t.outcome is Outcome.SUCCESS for t in in_order]
    assert batch.truncated.tolist() == [t.outcome.is_truncated for t in in_order]
    assert batch.returns.tolist() == [t.reward for t in in_order]
    all_turns = [turn for t in in_order for turn in t.turns]
    assert batch.num_turns == len(all_turns)
    for name in ("observations", "actions", "state_keys", "agents"):
        assert getattr(batch, name) == [getattr(t, name[:-1]) for t in all_turns]
    for name in ("reward", "policy_version"):
        assert getattr(batch, name + "s").tolist() == [getattr(t, name) for t in all_turns]
    assert batch.valid.tolist() == [t.valid for t in all_turns]
    assert batch.starts_segment.tolist() == [t.starts_segment for t in all_turns]
    assert batch.next_observations == [o for t in in_order for _, o in t.transitions()]
    owner = batch.trajectory_of_turn()
    assert [batch.ids[i] for i in owner] == [t.id for t in in_order for _ in t.turns]


@given(given_episodes=episodes())
def test_tokens_stay_with_their_turn(given_episodes: list[Trajectory]) -> None:
    batch = Batch.from_trajectories(given_episodes)
    by_id = {t.id: t for t in given_episodes}
    all_turns = [turn for id_ in batch.ids for turn in by_id[id_].turns]
    of_token = batch.turn_of_token()
    allowed_ends = np.concatenate([[0], np.cumsum(batch.allowed_counts)])
    for index, turn in enumerate(all_turns):
        first, last = batch.token_offsets[index : index + 2]
        assert (of_token[first:last] == index).all()
        sampled = batch.sampled[first:last]
        ids, logprobs = batch.token_ids[first:last], batch.logprobs[first:last]
        assert ids[~sampled].tolist() == turn.prompt_ids.tolist()
        assert ids[sampled].tolist() == turn.response_ids.tolist()
        assert logprobs[sampled].tolist() == turn.logprobs.tolist()
        assert not logprobs[~sampled].any()
        assert batch.sampled_per_turn()[index] == len(turn.response_ids)
        of_ids = [turn.policy_version] * len(turn.response_ids)
        expected = of_ids if turn.versions is None else turn.versions.tolist()
        assert batch.token_versions()[first:last][sampled].tolist() == expected
        assert (batch.token_versions()[first:last][~sampled] == -1).all()
        allowed = batch.allowed_ids[allowed_ends[first] : allowed_ends[last]]
        assert allowed.tolist() == (turn.allowed.ids.tolist() if turn.allowed else [])
    assert (batch.versions is None) == all(turn.versions is None for turn in all_turns)
    assert batch.token_offsets[-1] == batch.num_tokens == len(batch.allowed_counts)
    assert allowed_ends[-1] == len(batch.allowed_ids)


@given(given_episodes=episodes())
def test_segments_are_those_of_the_trajectories(given_episodes: list[Trajectory]) -> None:
    batch = Batch.from_trajectories(given_episodes)
    by_id = {t.id: t for t in given_episodes}
    lengths = [len(segment) for id_ in batch.ids for segment in by_id[id_].segments()]
    assert np.diff(batch.segment_offsets()).tolist() == lengths


def test_dtypes_hold_for_empty_batches_too() -> None:
    empty = Batch.from_trajectories([])
    full = Batch.from_trajectories(
        [Trajectory("a", "g", "t", [Turn("o", "a", 1.0)], Outcome.SUCCESS)]
    )
    names = [n for n in Batch.__dataclass_fields__ if hasattr(getattr(full, n), "dtype")]
    for name in names:
        assert getattr(empty, name).dtype == getattr(full, name).dtype, name
    assert (empty.num_tokens, empty.num_turns, empty.num_trajectories, empty.num_groups) == (0,) * 4
    for name in ("trajectory_of_turn", "group_of_trajectory", "turn_of_token", "sampled_per_turn"):
        assert getattr(empty, name)().shape == (0,)
    assert empty.segment_offsets().tolist() == [0]


def test_infrastructure_failures_leave_no_trace() -> None:
    lost = Trajectory("a", "lost", "t", [Turn("o", "a", 9.0)], Outcome.ENV_ERROR)
    kept = Trajectory("b", "kept", "t", [Turn("o", "a", 1.0)], Outcome.FAILURE)
    batch = Batch.from_trajectories([lost, kept])
    assert batch.groups == ["kept"]
    assert batch.returns.tolist() == [1.0]


def test_ids_without_logprobs_are_unknown_not_misplaced() -> None:
    told = Turn("o", "a", response_ids=np.array([1, 2], np.int32))
    drawn = Turn(
        "o", "a", response_ids=np.array([3], np.int32), logprobs=np.array([-1], np.float32)
    )
    batch = Batch.from_trajectories([Trajectory("a", "g", "t", [told, drawn], Outcome.FAILURE)])
    assert np.isnan(batch.logprobs[:2]).all()
    assert batch.logprobs[2] == -1


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (
            Turn("o", "a", response_ids=np.array([1, 2], np.int32), logprobs=np.zeros(1, "f4")),
            "turn 0 of trajectory 'a' has 2 response ids but 1 log-probabilities",
        ),
        (
            Turn("o", "a", allowed=Allowed(np.zeros(1, np.int32), np.ones(1, np.int32))),
            "0 response ids but 1 allowed sets",
        ),
        (
            Turn(
                "o",
                "a",
                response_ids=np.array([1], np.int32),
                allowed=Allowed(np.zeros(1, np.int32), np.array([2], np.int32)),
            ),
            "do not add up",
        ),
        (
            Turn(
                "o",
                "a",
                response_ids=np.array([1, 2], np.int32),
                allowed=Allowed(np.zeros(0, np.int32), np.array([-3, 3], np.int32)),
            ),
            "do not add up",
        ),
        (
            Turn("o", "a", response_ids=np.zeros(2, np.int32), versions=np.zeros(3, np.int32)),
            "2 response ids but 3 policy versions",
        ),
    ],
)
def test_ragged_turns_are_refused(turn: Turn, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Batch.from_trajectories([Trajectory("a", "g", "t", [turn], Outcome.FAILURE)])
