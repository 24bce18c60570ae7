"""The simulation of two devices, on cases that are worked out by hand."""

from __future__ import annotations

import random

import pytest
from schedule_timeline import Measured, Pace, Played, Timeline, fit_pace, simulate

from agentrl.rollout.schedule import Schedule

SYNC, AHEAD = Schedule(0, waits=True), Schedule(1, waits=True)
ASYNC = Schedule(1, waits=False)


def measured(tokens: list[list[int]], updates: int, slots: int) -> Measured:
    """Learning takes 5 seconds, the weights 1, a token 1."""
    return Measured(tokens, [5.0] * updates, [1.0] * updates, slots, Pace(1.0, 0.0))


def learned(timeline: Timeline) -> list[tuple[float, float]]:
    return [(span.begin, span.end) for span in timeline.learner]


def test_one_after_the_other() -> None:
    timeline = simulate(measured([[10], [10]], 2, slots=1), SYNC)
    assert learned(timeline) == [(10, 15), (26, 31)]
    assert [(s.begin, s.end, s.label) for s in timeline.engine] == [(0, 10, 0), (16, 26, 1)]
    assert timeline.seconds == 31
    assert timeline.busy(timeline.learner) == 10 / 31
    assert timeline.staleness == [0, 0]


def test_one_step_off_plays_meanwhile_and_waits_for_what_is_in_flight() -> None:
    timeline = simulate(measured([[10], [10], [10]], 3, slots=1), AHEAD)
    # The weights change at 20, when the second episode has ended, not at 15.
    assert learned(timeline) == [(10, 15), (21, 26), (32, 37)]
    assert [span.begin for span in timeline.syncs] == [20, 31, 37]
    assert timeline.staleness == [0, 1, 1]


def test_asynchronous_weights_change_amid_an_episode() -> None:
    timeline = simulate(measured([[10], [10], [10]], 3, slots=1), ASYNC)
    assert learned(timeline) == [(10, 15), (21, 26), (32, 37)]
    assert [span.begin for span in timeline.syncs] == [15, 26, 37]
    assert [(s.begin, s.end, s.label) for s in timeline.engine] == [
        (0, 10, 0), (10, 15, 0), (16, 21, 1), (21, 26, 1), (27, 32, 2),
    ]  # fmt: skip


def test_asynchronous_updates_do_not_wait_for_a_straggler_before_its_time() -> None:
    groups = [[4], [30], [4], [4]]
    waiting = simulate(measured(groups, 2, slots=4), AHEAD)
    assert learned(waiting) == [(30, 35), (36, 41)]
    going_on = simulate(measured(groups, 2, slots=4), ASYNC)
    assert learned(going_on) == [(4, 9), (31, 36)]


def test_a_crowd_is_slower() -> None:
    crowd = Measured([[10, 10]], [5.0], [1.0], 2, Pace(1.0, 0.5))
    assert learned(simulate(crowd, SYNC)) == [(20, 25)]


@pytest.mark.parametrize("seed", range(20))
def test_no_group_is_staler_than_the_bound(seed: int) -> None:
    rng = random.Random(seed)
    groups = [[rng.choice([1, 10, 200]) for _ in range(3)] for _ in range(24)]
    timeline = simulate(measured(groups, 8, slots=5), Schedule(2, waits=False))
    assert len(timeline.staleness) == 24
    assert set(timeline.staleness) <= {0, 1, 2}


def test_the_pace_is_found_in_what_was_played() -> None:
    alone, together = Played(0, 15, 10), Played(15, 35, 10)
    pace = fit_pace([alone, together, together])
    assert (pace.fixed, pace.each) == (pytest.approx(1.0), pytest.approx(0.5))


def test_a_pace_is_never_negative() -> None:
    # Faster in a crowd, or as many times slower as there are others and more.
    faster = fit_pace([Played(0, 20, 10), Played(20, 30, 10), Played(20, 30, 10)])
    assert faster.each == 0
    assert faster.fixed > 0
    slower = fit_pace([Played(0, 1, 10), Played(1, 41, 10), Played(1, 41, 10)])
    assert slower.fixed == 0
    assert slower.each > 0
