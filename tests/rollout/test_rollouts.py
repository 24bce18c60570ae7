from __future__ import annotations

import asyncio
import random

import pytest
from rollout_doubles import ByteDialogue, Ladder, ScriptEngine, climb

from agentrl.config import RolloutConfig
from agentrl.errors import ConfigError, EnvironmentFault
from agentrl.rollout.collector import Collector, GroupRequest
from agentrl.rollout.rollouts import Rollouts
from agentrl.rollout.schedule import Schedule

TASKS, SIZE, UPDATES = 2, 2, 6
SYNC, ONE_OFF, ASYNC = Schedule(0, True), Schedule(1, True), Schedule(3, False)


def plan(place: int) -> GroupRequest:
    return GroupRequest(f"g{place:02d}", f"train/{place % 50}", size=SIZE, seed=place)


def rollouts(engine: ScriptEngine, schedule: Schedule, *, env=Ladder, version=0, **settings):
    collector = Collector(env, ByteDialogue, engine, RolloutConfig(**settings))
    return Rollouts(
        collector, plan, schedule, tasks=TASKS, updates=UPDATES, run_seed=0, version=version
    )


async def train(engine: ScriptEngine, schedule: Schedule, **settings) -> list[list]:
    """Go round as the trainer does; return the trajectories of each update."""
    it = rollouts(engine, schedule, **settings)
    batches = []
    for update in range(1, UPDATES + 1):
        batches.append((await it.take(update)).trajectories)
        await asyncio.sleep(0.01)
        it.trained()
        await it.settle()
        engine.version = update
        it.advance(update)
    await it.close()
    return batches


def staleness(batches: list[list]) -> list[list[int]]:
    return [
        sorted({update - turn.policy_version for t in batch for turn in t.turns})
        for update, batch in enumerate(batches)
    ]


async def test_in_turns_every_episode_is_of_the_policy_it_trains():
    batches = await train(ScriptEngine(climb, delay=0.002), SYNC)
    assert staleness(batches) == [[0]] * UPDATES
    names = [[t.id for t in batch] for batch in batches]
    assert names[2] == ["g04/0", "g04/1", "g05/0", "g05/1"]


async def test_one_step_off_is_one_step_off():
    batches = await train(ScriptEngine(climb, delay=0.002), ONE_OFF)
    assert staleness(batches) == [[0], *[[1]] * (UPDATES - 1)]
    assert len({t.id for batch in batches for t in batch}) == UPDATES * TASKS * SIZE


@pytest.mark.parametrize("schedule", [SYNC, ONE_OFF])
async def test_what_is_trained_on_does_not_depend_on_which_episodes_end_first(schedule):
    class Uneven(ScriptEngine):
        async def generate(self, request):
            await asyncio.sleep(0.005 if request.session.startswith("g00") else 0)
            return await super().generate(request)

    batches = await train(Uneven(climb), schedule)
    groups = [sorted({t.group for t in batch}) for batch in batches]
    assert groups == [[f"g{2 * i:02d}", f"g{2 * i + 1:02d}"] for i in range(UPDATES)]


async def test_asynchronous_episodes_go_on_across_updates_within_the_bound():
    class Uneven(ScriptEngine):
        async def generate(self, request):
            await asyncio.sleep(0.012 if request.session.startswith(("g00", "g05")) else 0)
            return await super().generate(request)

    batches = await train(Uneven(climb), ASYNC, concurrency=8)
    ages = staleness(batches)
    assert max(max(row) for row in ages) <= ASYNC.ahead
    assert any(len({turn.policy_version for turn in t.turns}) > 1 for b in batches for t in b)
    ids = [t.id for batch in batches for t in batch]
    assert len(set(ids)) == len(ids) == UPDATES * TASKS * SIZE
    # The slow first group did not hold up the first update.
    assert not any(t.group == "g00" for t in batches[0])


async def test_groups_nobody_has_trained_on_begin_again():
    it = rollouts(ScriptEngine(climb, delay=0.002), ASYNC)
    first = await it.take(1)
    # As long as the update may fail its own groups would begin again, too.
    assert len(it.state_dict()["again"]) == 2 * TASKS * 2
    it.trained()
    state = it.state_dict()
    await it.close()
    done = {t.group for t in first.trajectories}
    assert state["next"] == 2 * TASKS * 2
    assert {plan(place).group for place in state["again"]}.isdisjoint(done)
    again = rollouts(ScriptEngine(climb), ASYNC, version=1)
    again.load_state_dict(state)
    rest = []
    for update in range(2, UPDATES + 1):
        rest += [t.group for t in (await again.take(update)).trajectories]
        again.advance(update)
    await again.close()
    assert sorted({*rest, *done}) == [plan(place).group for place in range(UPDATES * TASKS)]
    assert done.isdisjoint(rest)


@pytest.mark.parametrize("before", [TASKS - 1, TASKS + 1])
def test_groups_numbered_for_updates_of_another_size_are_refused(before):
    it = rollouts(ScriptEngine(climb), SYNC, version=1)
    state = {**it.state_dict(), "tasks": before}
    with pytest.raises(ConfigError, match=rf"rollout.tasks is {TASKS}.*set .* to {before} again"):
        it.load_state_dict(state)
    it.load_state_dict(it.state_dict())


async def test_waiting_for_groups_that_cannot_come_is_an_error():
    it = rollouts(ScriptEngine(climb), SYNC)
    # As if more groups had been played than the run has updates for.
    it.load_state_dict({**it.state_dict(), "next": UPDATES * TASKS - 1})
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match=r"update 1 waits for 2 groups: [01] have ended"):
            await it.take(1)
    await it.close()


async def test_figures_are_those_since_the_last_update():
    it = rollouts(ScriptEngine(climb), SYNC)
    counts = []
    for update in (1, 2):
        counts.append((await it.take(update)).stats.episodes)
        it.advance(update)
    await it.close()
    assert counts == [TASKS * SIZE] * 2


async def test_what_ends_the_collection_is_raised():
    class Broken(ScriptEngine):
        async def generate(self, request):
            if random.Random(request.session).random() < 2:
                raise KeyError("a bug")

    it = rollouts(Broken(climb), SYNC)
    with pytest.raises(KeyError, match="a bug"):
        await it.take(1)
    with pytest.raises(KeyError, match="a bug"):
        await it.take(1)
    await it.close()


async def test_an_update_whose_episodes_are_all_lost_says_so():
    class Dead(Ladder):
        def on_step(self, action):
            raise RuntimeError("no power")

    it = rollouts(ScriptEngine(climb), ASYNC, env=Dead, retries=0)
    with pytest.raises(EnvironmentFault, match=r"all 8 episodes were lost.*no power"):
        await it.take(1)
    await it.close()


async def test_closing_stops_episodes_in_flight():
    class Stuck(ScriptEngine):
        async def generate(self, request):
            await asyncio.sleep(3600)

    it = rollouts(Stuck(climb), ASYNC)
    waiting = asyncio.create_task(it.take(1))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await it.close()
    assert len(asyncio.all_tasks()) == 1
