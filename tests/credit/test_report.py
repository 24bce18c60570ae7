from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import group_report, metrics
from agentrl.errors import ConfigError
from agentrl.trajectory import Outcome, Trajectory, Turn


def test_counts_groups_that_teach_nothing(make_batch: Callable[..., Batch]) -> None:
    report = group_report(make_batch([[1, 1], [0, 0, 0], [1, 0], [1]]))
    assert report["groups"] == 4
    assert report["group_size"] == 2
    assert report["zero_variance_groups"] == pytest.approx(2 / 3)  # the group of one is left out
    assert report["all_success_groups"] == pytest.approx(0.5)
    assert report["all_failure_groups"] == pytest.approx(0.25)


def test_graded_rewards_differ_though_none_succeeds(make_batch: Callable[..., Batch]) -> None:
    report = group_report(make_batch([[-0.5, -0.25]]))
    assert report["zero_variance_groups"] == 0
    assert report["all_failure_groups"] == 1


def test_an_empty_batch() -> None:
    assert set(group_report(Batch.from_trajectories([])).values()) == {0.0}


def walk(index: int, steps: str, earned: float, group: str = "g") -> Trajectory:
    """An episode through states named by letters, with one token a turn."""
    turns = [
        Turn(f"at {state}", f"leave {state}", state_key=state, response_ids=np.zeros(1, np.int32))
        for state in steps
    ]
    turns[-1].reward = earned
    outcome = Outcome.SUCCESS if earned > 0 else Outcome.FAILURE
    end = f"end {steps}"
    made = Trajectory(f"{group}{index}", group, group, turns, outcome, end, answer="yes")
    made.final_state_key = end
    return made


@pytest.fixture
def walks() -> Batch:
    return Batch.from_trajectories(
        [walk(0, "abc", 1), walk(1, "abd", 0), walk(2, "ab", 0), walk(3, "xy", 1, "h")]
    )


def test_what_salt_merges(walks: Batch) -> None:
    # a -> b thrice and b -> c, b -> d, b -> end once, c, d: 3 of 8 turns of the mixed group.
    assert metrics(walks, ["grpo", "salt"]) == {"salt/merge_rate": pytest.approx(3 / 8)}


def test_how_often_situations_come_again(walks: Batch) -> None:
    got = metrics(walks, ["grpo", "gigpo"])
    assert got == {
        "gigpo/step_group_size": pytest.approx(10 / 6),
        "gigpo/shared_turns": pytest.approx(6 / 10),
    }


def test_how_many_ways_lead_on(walks: Batch) -> None:
    # From b lead three edges; three turns act there.
    assert metrics(walks, ["grpo", "graph_value"]) == {
        "graph_value/ways": pytest.approx((3 * 3 + 7) / 10)
    }


def test_information_gains(walks: Batch) -> None:
    beliefs = np.zeros((10, 2))
    beliefs[:, 1] = [1, 1, 9, 3, np.nan, 9, 0, 9, 5, 9]  # 9: of last turns, which do not count
    beliefs[4] = [-np.inf, -np.inf]
    got = metrics(walks, ["grpo", "igpo"], {"answer_logprob": beliefs})
    assert got == {
        "igpo/gain": pytest.approx((1 + 1 + 3 + 0 + 5) / 5),
        "igpo/scored_turns": pytest.approx(5 / 10),
        "igpo/gain_variance_groups": pytest.approx(1 / 2),
    }
    assert metrics(walks, ["grpo", "igpo"], {"answer_logprob": np.ones((10, 2))}) == {
        "igpo/gain": 0.0,
        "igpo/scored_turns": pytest.approx(6 / 10),
        "igpo/gain_variance_groups": 0.0,
    }


def test_entropies(walks: Batch) -> None:
    entropy = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 19])
    got = metrics(walks, ["grpo", {"empg": {"k": 0.0}}], {"entropy": entropy})
    assert got == {"empg/mean_entropy": 5.5, "empg/max_entropy": 19.0, "empg/scale_spread": 0.0}
    sharper = metrics(walks, ["grpo", "empg"], {"entropy": entropy})
    assert sharper["empg/scale_spread"] > 0.1


def test_log_ratios(walks: Batch) -> None:
    ratios = np.array([1.0, -1, 2, -2, 0, 0, 0, 0, 3, -3])
    list_of = ["rloo", {"oprl": {"normaliser": "mean", "scale": "none", "beta": 1.0, "alpha": 0.5}}]
    got = metrics(walks, list_of, {"prm_log_ratio": ratios})
    assert got == {
        "oprl/log_ratio": pytest.approx(1.2),
        "oprl/step_advantage": pytest.approx(0.6),
    }


def test_methods_without_figures_and_without_signals(walks: Batch) -> None:
    assert metrics(walks, ["grpo", "whiten"]) == {}
    with pytest.raises(ConfigError, match="'empg' needs the signal 'entropy'"):
        metrics(walks, ["grpo", "empg"])


@pytest.mark.parametrize("method", ["salt", "gigpo", "graph_value", "igpo", "empg", "oprl"])
def test_figures_of_nothing(method: str) -> None:
    signals: dict[str, Any] = {
        "answer_logprob": np.zeros((0, 2)),
        "entropy": np.zeros(0),
        "prm_log_ratio": np.zeros(0),
    }
    got = metrics(Batch.from_trajectories([]), ["grpo", method], signals)
    assert got
    assert set(got.values()) == {0.0}
