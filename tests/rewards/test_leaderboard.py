from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.rewards.leaderboard import mean_position_score, position_score

BOARD = [0.9, 0.8, 0.7, 0.6]

numbers = st.integers(-5, 5).map(float)


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.8, 0.75), (0.5, 0.0), (0.9, 1.0), (2.0, 1.0), (0.75, 0.5), (0.6, 0.25)],
)
def test_worked_examples(score: float, expected: float) -> None:
    assert position_score(score, BOARD) == expected


def test_lower_may_be_better() -> None:
    assert position_score(0.7, BOARD, higher_is_better=False) == 0.75
    assert position_score(1.0, BOARD, higher_is_better=False) == 0.0


@given(score=numbers, board=st.lists(numbers, min_size=1), higher_is_better=st.booleans())
def test_the_position_on_a_sorted_board(
    score: float, board: list[float], higher_is_better: bool
) -> None:
    best_first = sorted(board, reverse=higher_is_better)
    position = len(board) + 1
    for index, entry in enumerate(best_first, start=1):
        if score >= entry if higher_is_better else score <= entry:
            position = index
            break
    expected = (len(board) - position + 1) / len(board)
    assert position_score(score, board, higher_is_better) == pytest.approx(expected)


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_submission_without_score_is_worse_than_all(higher_is_better: bool) -> None:
    assert position_score(float("nan"), BOARD, higher_is_better) == 0.0


def test_the_mean_is_over_boards_that_exist() -> None:
    assert mean_position_score(0.8, [BOARD, [0.95, 0.1]]) == 0.625
    assert mean_position_score(0.8, [None, BOARD]) == 0.75
    assert mean_position_score(0.7, [BOARD, [0.5]], higher_is_better=False) == 0.375


@pytest.mark.parametrize("board", [[], [float("nan"), 1.0], [[1.0]]])
def test_what_is_no_leaderboard(board: Any) -> None:
    with pytest.raises(ValueError, match="must be a list of numbers"):
        position_score(1.0, board)


@pytest.mark.parametrize("boards", [[], [None, None]])
def test_no_leaderboard_at_all(boards: list[Any]) -> None:
    with pytest.raises(ValueError, match="there is no leaderboard"):
        mean_position_score(1.0, boards)
