from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.errors import CheckpointError
from agentrl.rewards.otc import FewestCalls, Otc, efficient_rewards, tool_efficiency
from agentrl.trajectory import Outcome


def test_worked_example_without_the_fewest_calls():
    got = tool_efficiency(np.array([0, 1, 2, 4]), None, max_calls=4, form="ppo")
    assert got == pytest.approx([1, 0.866025, 0.707107, 0.5], abs=1e-6)


def test_worked_example_with_the_fewest_calls():
    calls, fewest = np.array([0, 2, 2, 4, 1]), np.array([0.0, 0.0, 2.0, 2.0, 2.0])
    got = tool_efficiency(calls, fewest, max_calls=4)
    assert got == pytest.approx([1, 0.707107, 1, 0.866025, 0.866025], abs=1e-6)


def test_a_task_never_solved_falls_back():
    got = tool_efficiency(np.array([2, 0]), np.array([np.nan, 2.0]), max_calls=4)
    assert got == pytest.approx([0.707107, 0], abs=1e-6)


@given(calls=st.integers(0, 60), fewest=st.integers(0, 60), limit=st.integers(1, 60))
def test_the_peak_is_at_the_fewest(calls: int, fewest: int, limit: int) -> None:
    rows = np.array([calls, fewest])
    at, peak = tool_efficiency(rows, np.array([fewest, fewest], float), max_calls=limit)
    assert -1e-9 <= at <= peak + 1e-12
    if fewest:
        assert peak == pytest.approx(1)


def test_a_wrong_answer_gains_nothing():
    got = efficient_rewards(np.array([0.0, 1.0, 0.5]), np.array([1.0, 0.5, 1.0]), alpha=2.0)
    assert got.tolist() == [0, 1, 1]


def test_the_fewest_calls_are_those_of_correct_episodes():
    fewest = FewestCalls()
    correct = np.array([True, False, True, True])
    fewest.learn(["a", "a", "b", "a"], np.array([5, 1, 0, 3]), correct)
    fewest.learn(["a"], np.array([4]), np.array([True]))
    assert fewest.of(["a", "b"]).tolist() == [3, 0]
    assert np.isnan(fewest.of(["c"])).all()
    again = FewestCalls()
    again.load_state_dict(json.loads(json.dumps(fewest.state_dict())))
    assert again == fewest
    with pytest.raises(CheckpointError, match="fewest tool calls"):
        again.load_state_dict({"a": None})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tool_efficiency(np.array([1]), None, max_calls=4), "needs the fewest"),
        (lambda: tool_efficiency(np.array([1]), np.zeros(2), max_calls=4), "needs the fewest"),
        (lambda: tool_efficiency(np.array([1]), np.zeros(1), max_calls=0), "above 0"),
        (lambda: tool_efficiency(np.array([-1]), np.zeros(1), max_calls=4), "-1 tool calls"),
        (lambda: efficient_rewards(np.zeros(1), np.zeros(2)), "differ in shape"),
        (lambda: efficient_rewards(np.array([-1.0]), np.zeros(1)), "not be negative"),
        (lambda: efficient_rewards(np.zeros(1), np.zeros(1), alpha=0.0), "alpha"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_calls_of_an_episode(gather):
    batch = gather(
        ([0, 0, 1.0], {}),
        ([0, 0, 0.0], {"outcome": Outcome.TRUNCATED_TURNS}),
        ([0, 0, 1.0], {"invalid": [1]}),
        ([], {}),
        ([1.0], {}),
    )
    assert Otc(max_calls=4).calls(batch).tolist() == [2, 3, 1, 0, 0]


def test_calls_named_by_their_actions(gather):
    actions = ["search[a]", "think", "answer[search]"]
    batch = gather(([0, 0, 1.0], {"actions": actions}), ([0, 0, 0], {"actions": ["search[b]"] * 3}))
    assert Otc(max_calls=4, tools="^search").calls(batch).tolist() == [1, 3]
    assert Otc(max_calls=4, tools="search").calls(batch).tolist() == [2, 3]
    broken = gather(([0, 1.0], {"actions": ["search[", "answer[x]"], "invalid": [0]}))
    assert Otc(max_calls=4, tools="^search").calls(broken).tolist() == [0]


def test_rewards_by_the_fewest_calls_of_the_batch_and_before(gather):
    method = Otc(max_calls=4, alpha=2.0)
    batch = gather(
        ([0, 0, 0.0, 0, 1.0], {}),
        ([0.25, 0, 0.75], {}),
        ([0, 0, 0], {}),
        ([0, 0, 1.0], {"task": "other"}),
    )
    got = method(batch, {})
    assert got.returns == pytest.approx([2 * 0.866025, 2, 0, 2], abs=1e-6)
    assert got.rewards[5:8] == pytest.approx([0.5, 0, 1.5])
    assert method(batch, {}).returns.tolist() == got.returns.tolist(), "calls change nothing"
    method.learn(gather(([1.0], {})))
    assert method.state_dict() == {"t": 0}
    later = method(batch, {}).returns
    assert later == pytest.approx([2 * 0.5, 2 * 0.707107, 0, 2], abs=1e-6)


def test_the_form_without_a_memory_of_tasks(gather):
    batch = gather(([0, 0, 1.0], {}), ([1.0], {}))
    assert Otc(max_calls=4, form="ppo")(batch, {}).returns == pytest.approx([0.707107, 1], abs=1e-6)
