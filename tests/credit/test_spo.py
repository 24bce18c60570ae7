from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.credit import assign, parse, state
from agentrl.credit.grpo import Grpo
from agentrl.credit.spo import Spo
from agentrl.credit.tracker import ValueTracker
from agentrl.errors import CheckpointError, ConfigError
from agentrl.trajectory import Trajectory

Make = Callable[..., Trajectory]


def episodes(make: Make, outcomes: list[tuple[str, float]]) -> Batch:
    """One-turn episodes of tasks, each a group of its own."""
    return Batch.from_trajectories(
        replace(make(f"g{i}", i, [reward], [2]), task_id=task)
        for i, (task, reward) in enumerate(outcomes)
    )


def test_worked_example_of_an_update() -> None:
    tracker = ValueTracker({"t": 0.5}, {"t": 8.0})
    before = tracker.value("t")
    tracker.update("t", [1.0], 0.5)
    assert 1.0 - before == 0.5
    value, weight = tracker.value("t"), tracker.weight("t")
    assert (value * weight, (1 - value) * weight) == pytest.approx((3, 2))
    assert value == pytest.approx(0.6)
    assert value - before == pytest.approx(0.2 * (1.0 - before))


@pytest.mark.parametrize(
    ("drift", "rho"), [(0.0, 0.96), (0.03, 0.875), (0.005, 2 ** (-1 / 12)), (1e9, 0.875)]
)
def test_worked_example_of_forgetting(drift: float, rho: float) -> None:
    assert Spo().forgetting(drift) == pytest.approx(rho)


def test_worked_example_of_a_warm_start() -> None:
    tracker = ValueTracker()
    tracker.warm_start("t", successes=2, samples=8, rho_min=0.875)
    value, weight = tracker.value("t"), tracker.weight("t")
    assert value * weight == pytest.approx(2.222222, abs=1e-6)
    assert (1 - value) * weight == pytest.approx(5.777778, abs=1e-6)
    assert tracker.sampling_weight("t") == pytest.approx(0.497903, abs=1e-6)


def test_a_task_never_seen_has_half_a_success_and_half_a_failure() -> None:
    tracker = ValueTracker()
    assert (tracker.value("t"), tracker.weight("t")) == (0.5, 1.0)
    tracker.update("t", [0.0], 0.96)
    assert tracker.value("t") == pytest.approx(0.48 / 1.96)


def test_weight_settles_between_the_bounds() -> None:
    for rho, settled in ((0.875, 8), (0.96, 25)):
        tracker = ValueTracker()
        for _ in range(500):
            tracker.update("t", [1.0], rho)
        assert tracker.weight("t") == pytest.approx(settled)


def test_advantages_are_standardised_over_the_batch(make_trajectory: Make) -> None:
    method = Spo()
    method.load_state_dict({"easy": [0.9, 8], "hard": [0.1, 8]})
    batch = episodes(make_trajectory, [("easy", 1), ("hard", 1), ("easy", 0), ("new", 0)])
    gains = np.array([0.1, 0.9, -0.9, -0.5])
    expected = (gains - gains.mean()) / gains.std(ddof=1)
    assert assign(batch, method) == pytest.approx(expected)
    assert method.state_dict() == {"easy": [0.9, 8], "hard": [0.1, 8]}


def test_groups_play_no_part(make_trajectory: Make) -> None:
    together = [make_trajectory("g", i, [r], [2]) for i, r in enumerate([1.0, 0.0, 0.25])]
    apart = [replace(t, group=f"g{i}") for i, t in enumerate(together)]
    left = assign(Batch.from_trajectories(together), "spo")
    assert left == pytest.approx(assign(Batch.from_trajectories(apart), "spo"))


def test_learning_counts_a_batch_once_and_by_task(make_trajectory: Make) -> None:
    method = Spo()
    method.load_state_dict({"a": [0.5, 8]})
    method.learn(episodes(make_trajectory, [("a", 1), ("b", 1), ("a", 0.5)]))
    known = method.state_dict()
    assert known["a"] == pytest.approx([(7 * 0.5 + 1.5) / 9, 9])
    assert known["b"] == pytest.approx([(0.875 * 0.5 + 1) / 1.875, 1.875])


def test_measured_drift_decides_what_is_forgotten(make_trajectory: Make) -> None:
    method = Spo()
    method.load_state_dict({"a": [0.5, 8], "b": [0.5, 8]})
    method.learn(episodes(make_trajectory, [("a", 1), ("b", 1)]), drift={"a": 0.03})
    assert method.state_dict()["a"][1] == pytest.approx(8 * 0.875 + 1)
    assert method.state_dict()["b"][1] == pytest.approx(8 * 0.96 + 1)


@given(
    outcomes=st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(-2, 10)), min_size=1, max_size=12
    ),
    seed=st.integers(0, 99),
)
def test_order_does_not_matter(
    make_trajectory: Make, outcomes: list[tuple[str, float]], seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(outcomes))
    left, right = Spo(), Spo()
    left.learn(episodes(make_trajectory, outcomes))
    right.learn(episodes(make_trajectory, [outcomes[i] for i in order]))
    assert left.state_dict() == right.state_dict()
    batch = episodes(make_trajectory, outcomes)
    shuffled = episodes(make_trajectory, [outcomes[i] for i in order])
    assert assign(batch, left)[order] == pytest.approx(assign(shuffled, left), abs=1e-9)


def test_degenerate_batches(make_trajectory: Make) -> None:
    assert assign(episodes(make_trajectory, [("a", 1)] * 5), "spo").tolist() == [0] * 5
    assert assign(episodes(make_trajectory, [("a", 2)]), "spo") == pytest.approx([1.5])
    assert assign(Batch.from_trajectories([]), "spo").shape == (0,)
    Spo().learn(Batch.from_trajectories([]))


def test_state_goes_through_json_exactly(make_trajectory: Make) -> None:
    methods = parse(["spo", "whiten"])
    state.learn(methods, episodes(make_trajectory, [("a", 1 / 3), ("b", 0.1)]))
    saved = json.loads(json.dumps(state.state_dict(methods)))
    again = parse(["spo", "whiten"])
    state.load_state_dict(again, saved)
    assert state.state_dict(again) == state.state_dict(methods) == saved
    assert saved["spo"].keys() == {"a", "b"}
    assert state.state_dict(parse("spo")) == {"spo": {}}


def test_foreign_state_is_refused() -> None:
    with pytest.raises(CheckpointError, match="nothing of credit method 'spo'"):
        state.load_state_dict([Spo()], {"other": {}})
    state.load_state_dict([Grpo()], {})
    for damaged in ({"a": 1.0}, {"a": [1]}, {"a": ["x", 1]}, [1]):
        with pytest.raises(CheckpointError, match="value tracker"):
            Spo().load_state_dict(damaged)  # type: ignore[arg-type]


def test_explains_with_the_baseline(make_trajectory: Make) -> None:
    method = Spo()
    method.load_state_dict({"a": [0.25, 8]})
    why = method.explain(episodes(make_trajectory, [("a", 1), ("b", 0)]), None, {})
    assert json.loads(json.dumps(why)) == why
    assert why == [
        {"return": 1.0, "baseline": 0.25, "weight": 8.0},
        {"return": 0.0, "baseline": 0.5, "weight": 1.0},
    ]


@pytest.mark.parametrize(
    "parameters",
    [
        {"rho": 1.5},
        {"rho_min": 0.97},
        {"drift_half": 0.0},
        {"ddof": 2},
        {"eps": 0.0},
    ],
)
def test_senseless_parameters(parameters: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="spo"):
        Spo(**parameters)
