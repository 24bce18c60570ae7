from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.config import ScheduleConfig
from agentrl.errors import ConfigError
from agentrl.rollout.requests import GroupRequest
from agentrl.rollout.schedule import OpenGroup, Schedule, choose
from agentrl.trajectory import Outcome, Trajectory


def group(place: int, deadline: int, ended: int = 0) -> OpenGroup:
    request = GroupRequest(f"g{place}", "t")
    return OpenGroup(place, request, deadline, 0 if ended else 1, [], ended)


def places(groups: list[OpenGroup] | None) -> list[int] | None:
    return groups and [g.place for g in groups]


def test_what_the_schedules_mean() -> None:
    assert Schedule.of(ScheduleConfig()) == Schedule(0, waits=True)
    assert Schedule.of(ScheduleConfig(kind="one_step_off")) == Schedule(1, waits=True)
    assert Schedule.of(ScheduleConfig(kind="async", max_staleness=3)) == Schedule(3, waits=False)
    with pytest.raises(ConfigError, match=r"share_device needs schedule\.kind=sync"):
        Schedule.of(ScheduleConfig(kind="async", share_device=True))


def test_the_room_that_groups_have() -> None:
    sync, ahead = Schedule(0, waits=True), Schedule(1, waits=True)
    # Before update 1 the groups of one update; while it is trained none may begin.
    assert [sync.room(0, update, 4) for update in (1, 2)] == [4, 0]
    assert [ahead.room(0, update, 4) for update in (1, 2)] == [4, 4]
    assert [Schedule(1, waits=False).room(0, update, 4) for update in (1, 2)] == [8, 4]


def test_the_first_to_end_are_taken_where_nothing_is_due() -> None:
    groups = [group(0, 9), group(1, 9, ended=2), group(2, 9, ended=1), group(3, 9, ended=3)]
    assert places(choose(groups, 1, 2)) == [1, 2]
    assert choose(groups, 1, 4) is None


def test_a_group_is_waited_for_when_its_time_has_come() -> None:
    late = [group(0, 5), group(1, 6, ended=1), group(2, 6, ended=2)]
    assert places(choose(late, 4, 2)) == [1, 2]
    assert choose(late, 5, 2) is None
    late[0].waiting, late[0].ended = 0, 9
    assert places(choose(late, 5, 2)) == [0, 1]


def test_older_groups_are_taken_in_time_to_leave_room() -> None:
    # Three are due by update 2, two an update: one of them must go into update 1 already.
    groups = [group(0, 2, 3), group(1, 2), group(2, 2), group(3, 3, 1), group(4, 3, 2)]
    assert places(choose(groups, 1, 2)) == [0, 3]


def test_a_lost_episode_is_waited_for_once_more() -> None:
    def lost(index: int) -> Trajectory:
        return Trajectory(f"g/{index}", "g", "t", [], Outcome.TIMEOUT)

    one = OpenGroup(0, GroupRequest("g", "t", size=2), 1, 2, [])
    one.take(lost(0))
    assert one.waiting == 2
    one.take(Trajectory("g/1", "g", "t", [], Outcome.SUCCESS))
    one.take(lost(2))
    assert one.waiting == 0
    assert len(one.episodes) == 3


@given(
    ahead=st.integers(0, 4),
    tasks=st.integers(1, 4),
    slots=st.integers(1, 12),
    seed=st.integers(0, 10_000),
)
def test_no_group_is_ever_older_than_promised(
    ahead: int, tasks: int, slots: int, seed: int
) -> None:
    """Groups of wildly uneven length, played by few or many slots, in 20 updates."""
    schedule, rng = Schedule(ahead, waits=False), random.Random(seed)
    updates, version, place, now, ended = 20, 0, 0, 0.0, 0
    groups: list[OpenGroup] = []
    ends: dict[int, float] = {}
    taken: list[int] = []

    def begin(next_update: int) -> None:
        nonlocal place
        while len(groups) < schedule.room(version, next_update, tasks) and place < updates * tasks:
            groups.append(group(place, schedule.deadline(version)))
            busy = sorted(end for end in ends.values() if end > now)
            start = busy[len(busy) - slots] if len(busy) >= slots else now
            ends[place] = start + rng.choice([0.01, 1.0, 20.0])
            place += 1

    def let_pass(until: float) -> None:
        nonlocal now, ended
        now = until
        for g in sorted(groups, key=lambda g: ends[g.place]):
            if g.waiting and ends[g.place] <= now:
                ended += 1
                g.waiting, g.ended = 0, ended

    for update in range(1, updates + 1):
        begin(update)
        while (chosen := choose(groups, update, tasks)) is None:
            let_pass(min(ends[g.place] for g in groups if g.waiting))
        assert len(chosen) == tasks
        assert all(update <= g.deadline <= update + ahead for g in chosen)
        groups = [g for g in groups if g not in chosen]
        taken += [g.place for g in chosen]
        begin(update + 1)
        let_pass(now + rng.random())
        version = update
    assert sorted(taken) == list(range(updates * tasks))
