from __future__ import annotations

import numpy as np
import pytest

from agentrl.answers import AnswerBlock, prefixes_of, signal_of
from agentrl.batch import Batch
from agentrl.trajectory import Outcome, Trajectory, Turn


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def write(answer: str) -> AnswerBlock:
    """Return an opener of two ids and one id per letter."""
    return AnswerBlock(ids(90, 91), np.array([ord(letter) for letter in answer], np.int32))


def episode(
    name: str, answer: str | None, *turns: tuple[int, int], windowed: bool = False
) -> Trajectory:
    """Return turns that read and say so many ids."""
    played = [
        Turn(
            "o",
            "a",
            prompt_ids=np.full(read, 7, np.int32),
            response_ids=np.full(said, 8, np.int32),
            starts_segment=windowed or k == 0,
        )
        for k, (read, said) in enumerate(turns)
    ]
    return Trajectory(name, "g", "task", played, Outcome.SUCCESS, answer=answer)


def whole(batch: Batch, index: int) -> list[int]:
    found = prefixes_of(batch, write, context_length=None)
    start = found.starts[index]
    return batch.token_ids[start : start + found.lengths[index]].tolist()


def test_a_prefix_ends_with_the_turns_prompt() -> None:
    batch = Batch.from_trajectories([episode("x", "ab", (3, 2), (4, 1), (2, 5))])
    found = prefixes_of(batch, write, context_length=None)
    assert found.turns.tolist() == [0, 1, 2]
    assert found.starts.tolist() == [0, 0, 0]
    assert found.lengths.tolist() == [3, 9, 12]
    assert whole(batch, 1) == [7] * 3 + [8] * 2 + [7] * 4
    assert [len(block) for block in found.blocks] == [4, 4, 4]


def test_windowed_memory_starts_afresh() -> None:
    batch = Batch.from_trajectories([episode("x", "ab", (3, 2), (4, 1), (2, 5), windowed=True)])
    found = prefixes_of(batch, write, context_length=None)
    assert found.starts.tolist() == [0, 5, 10]
    assert found.lengths.tolist() == [3, 4, 2]


def test_what_cannot_be_scored_is_left_out() -> None:
    batch = Batch.from_trajectories(
        [
            episode("none", None, (3, 2)),
            episode("empty", "", (3, 2)),
            episode("no turns", "ab"),
            episode("long", "ab", (3, 2), (4, 1), (2, 5)),
            episode("nothing said", "ab", (3, 0), (0, 2)),
        ]
    )
    found = prefixes_of(batch, write, context_length=13)
    # Turn 4 of the batch would need 12 + 4 ids.
    assert found.turns.tolist() == [2, 3, 5, 6]
    assert prefixes_of(batch, write, context_length=16).turns.tolist() == [2, 3, 4, 5, 6]


def test_an_answer_needs_something_before_it() -> None:
    batch = Batch.from_trajectories([episode("x", "ab", (0, 2), (1, 1))])
    assert prefixes_of(batch, write, context_length=None).turns.tolist() == [0, 1]

    def bare(answer: str) -> AnswerBlock:
        return AnswerBlock(ids(), write(answer).answer)

    assert prefixes_of(batch, bare, context_length=None).turns.tolist() == [1]


def test_after_a_turn_is_before_the_next() -> None:
    batch = Batch.from_trajectories(
        [
            episode("x", "ab", (3, 2), (4, 1), (2, 5)),
            episode("none", None, (3, 2), (1, 1)),
            episode("y", "ab", (3, 2)),
        ]
    )
    found = prefixes_of(batch, write, context_length=None)
    signal = signal_of(batch, found, -np.arange(1.0, 5.0))
    nan = np.nan
    expected = [[-1, -2], [-2, -3], [-3, nan], [nan, nan], [nan, nan], [-4, nan]]
    np.testing.assert_array_equal(signal, expected)


@pytest.mark.parametrize("trajectories", [[], [episode("x", "ab")]])
def test_no_turns(trajectories: list[Trajectory]) -> None:
    batch = Batch.from_trajectories(trajectories)
    found = prefixes_of(batch, write, context_length=None)
    assert len(found) == 0
    assert signal_of(batch, found, np.empty(0)).shape == (0, 2)


def test_a_turn_that_does_not_fit_has_no_gain_on_either_side() -> None:
    batch = Batch.from_trajectories([episode("x", "ab", (3, 2), (4, 1), (2, 5))])
    found = prefixes_of(batch, write, context_length=13)
    signal = signal_of(batch, found, np.array([-2.0, -1.0]))
    np.testing.assert_array_equal(signal, [[-2, -1], [-1, np.nan], [np.nan, np.nan]])
