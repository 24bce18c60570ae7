from __future__ import annotations

import pytest

from agentrl.trajectory import Outcome, Trajectory, Turn


def episode(*turns: Turn, outcome: Outcome = Outcome.FAILURE) -> Trajectory:
    return Trajectory("id", "group", "task", list(turns), outcome, final_observation="end")


def test_each_outcome_is_of_one_kind() -> None:
    infrastructure = {o for o in Outcome if o.is_infrastructure}
    truncated = {o for o in Outcome if o.is_truncated}
    assert infrastructure == {Outcome.ENV_ERROR, Outcome.TIMEOUT, Outcome.CANCELLED}
    assert set(Outcome) - infrastructure - truncated == {Outcome.SUCCESS, Outcome.FAILURE}
    assert not infrastructure & truncated


def test_success_and_reward() -> None:
    trajectory = episode(Turn("a", "b", 0.25), Turn("c", "d", 0.5), outcome=Outcome.SUCCESS)
    assert trajectory.success
    assert trajectory.reward == 0.75
    trajectory.outcome_reward = 0.0
    assert trajectory.reward == 0.0
    assert episode().reward == 0.0


@pytest.mark.parametrize(
    ("starts", "lengths"),
    [
        ([], []),
        ([True, False, False], [3]),
        ([True, True, False], [1, 2]),
        ([False, True], [1, 1]),
    ],
)
def test_segments(starts: list[bool], lengths: list[int]) -> None:
    trajectory = episode(*(Turn("", "", starts_segment=start) for start in starts))
    segments = list(trajectory.segments())
    assert [len(segment) for segment in segments] == lengths
    assert [turn for segment in segments for turn in segment] == trajectory.turns


def test_transitions_pair_an_action_with_what_it_returned() -> None:
    trajectory = episode(Turn("one", ""), Turn("two", ""))
    assert [after for _, after in trajectory.transitions()] == ["two", "end"]
    assert list(episode().transitions()) == []
