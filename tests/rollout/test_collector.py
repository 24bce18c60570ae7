from __future__ import annotations

import asyncio
import dataclasses
from contextlib import aclosing

import numpy as np
import pytest
from rollout_doubles import ByteDialogue, Ladder, ScriptEngine, by_seed, climb, requests

from agentrl.batch import Batch
from agentrl.config import RolloutConfig
from agentrl.errors import ConfigError, EngineFault, EnvironmentFault, TaskError
from agentrl.rollout.collector import Collector, GroupRequest
from agentrl.rollout.stats import RolloutStats
from agentrl.trajectory import Outcome


def collector(engine, env=Ladder, dialogue=ByteDialogue, **config):
    return Collector(env, dialogue, engine, RolloutConfig(**config))


def same(one, other) -> bool:
    """Whether two trajectories are equal in everything."""
    if len(one.turns) != len(other.turns):
        return False
    for a, b in zip(one.turns, other.turns, strict=True):
        for field in dataclasses.fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            equal = np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y
            if not equal:
                return False
    names = [f.name for f in dataclasses.fields(one) if f.name != "turns"]
    return all(getattr(one, name) == getattr(other, name) for name in names)


async def test_whole_groups_in_the_order_asked_for():
    collected = await collector(ScriptEngine(by_seed, delay=0.003), concurrency=5).collect(
        requests(6, 4)
    )
    ids = [t.id for t in collected.trajectories]
    assert ids == [f"g{g}/{i}" for g in range(6) for i in range(4)]
    batch = Batch.from_trajectories(collected.trajectories)
    assert np.diff(batch.trajectory_offsets).tolist() == [4] * 6
    stats = collected.stats
    assert stats.episodes == 24
    assert sum(stats.outcomes.values()) == 24
    assert stats.turns == batch.num_turns
    assert stats.invalid_turns == (~batch.valid).sum() > 0
    assert 0 < stats.invalid_rate < 1
    assert stats.lost == stats.retries == 0


async def test_same_seed_same_trajectories_whatever_the_order_of_completion():
    runs = []
    for delay, concurrency in ((0.0, 1), (0.004, 7), (0.004, 24)):
        engine = ScriptEngine(by_seed, delay=delay)
        collected = await collector(engine, concurrency=concurrency).collect(
            requests(6, 4), run_seed=5
        )
        runs.append(collected.trajectories)
    for other in runs[1:]:
        assert all(same(a, b) for a, b in zip(runs[0], other, strict=True))
    another = await collector(ScriptEngine(by_seed)).collect(requests(6, 4), run_seed=6)
    assert not all(same(a, b) for a, b in zip(runs[0], another.trajectories, strict=True))


async def test_a_group_shares_its_situation_but_not_its_sampling():
    engine = ScriptEngine(by_seed)
    collected = await collector(engine).collect(requests(1, 8))
    assert len({t.turns[0].observation for t in collected.trajectories}) == 1
    assert len({tuple(turn.completion for turn in t.turns) for t in collected.trajectories}) > 1


async def test_concurrency_bounds_the_episodes_in_flight():
    engine = ScriptEngine(climb, delay=0.002)
    await collector(engine, concurrency=3).collect(requests(5, 4))
    assert engine.most_running == 3


async def test_a_slow_episode_delays_nobody():
    gate = asyncio.Event()

    class Stuck(ScriptEngine):
        async def generate(self, request):
            if request.session == "g0/0":
                await gate.wait()
            return await super().generate(request)

    seen = []
    async with aclosing(collector(Stuck(climb), concurrency=2).stream(requests(3, 3))) as episodes:
        async for trajectory in episodes:
            seen.append(trajectory.id)
            if len(seen) == 8:
                assert "g0/0" not in seen
                gate.set()
    assert seen[-1] == "g0/0"


async def test_environments_are_used_again():
    made = []

    def make():
        made.append(Ladder())
        return made[-1]

    async with collector(ScriptEngine(climb, delay=0.001), env=make, concurrency=4) as it:
        await it.collect(requests(5, 4))
        await it.collect(requests(5, 4))
    assert len(made) == 4


async def test_an_environment_that_raises_is_replayed_with_the_same_seeds_and_replaced():
    failures = {"train/1": 2}
    closed = []

    class Moody(Ladder):
        def on_step(self, action):
            if failures.get(self.task.id, 0):
                failures[self.task.id] -= 1
                raise RuntimeError("a bad\nday")
            return super().on_step(action)

        def close(self):
            closed.append(self)

    engine = ScriptEngine(climb)
    it = collector(engine, env=Moody, retries=2)
    collected = await it.collect(requests(3, 1))
    assert [t.id for t in collected.trajectories] == ["g0/0", "g1/0", "g2/0"]
    assert collected.trajectories[1].metrics["retries"] == 2.0
    assert collected.stats.retries == 2
    assert collected.stats.faults == {Outcome.ENV_ERROR: 2}
    assert len(closed) == 2
    seeds = [r.sampling.seed for r in engine.requests if r.session == "g1/0"]
    assert seeds[0] == seeds[1] == seeds[2]


async def test_an_episode_lost_for_good_is_counted_replaced_and_never_scored():
    class Cursed(Ladder):
        """Breaks for the sampling of one episode only."""

        def on_step(self, action):
            if action == "hop":
                raise RuntimeError("hop")
            return super().on_step(action)

    def policy(request, turn):
        return "hop" if request.session == "g0/1" else "up"

    collected = await collector(ScriptEngine(policy), env=Cursed, retries=1).collect(requests(2, 3))
    assert [t.id for t in collected.trajectories] == [
        "g0/0", "g0/2", "g0/4", "g1/0", "g1/1", "g1/2",
    ]  # fmt: skip
    assert [(t.id, t.outcome) for t in collected.lost] == [("g0/1", Outcome.ENV_ERROR)]
    assert collected.lost[0].error == "the environment raised RuntimeError in step: hop"
    stats = collected.stats
    assert (stats.episodes, stats.lost, stats.retries, stats.refills) == (6, 1, 1, 1)
    assert sum(stats.faults.values()) == stats.retries + stats.lost


async def test_when_everything_is_lost_one_line_says_so():
    class Dead(Ladder):
        def on_step(self, action):
            raise RuntimeError("no power")

    with pytest.raises(EnvironmentFault, match=r"all 4 episodes were lost.*no power"):
        await collector(ScriptEngine(climb), env=Dead, retries=0).collect(requests(1, 2))


async def test_an_engine_fault_is_retried_and_then_cancelled(monkeypatch):
    monkeypatch.setattr("agentrl.rollout.run._ENGINE_BACKOFF_SECONDS", 0.0)
    calls = {"g0/0": 0, "g1/0": 0}

    class Flaky(ScriptEngine):
        async def generate(self, request):
            calls[request.session] = calls.get(request.session, 0) + 1
            if request.session == "g0/0" and calls["g0/0"] < 3:
                raise EngineFault("out of memory")
            if request.session.startswith("g1"):
                raise EngineFault("gone")
            return await super().generate(request)

    collected = await collector(Flaky(climb), retries=2).collect(requests(2, 1))
    assert [t.id for t in collected.trajectories] == ["g0/0"]
    assert [(t.id, t.outcome, t.error) for t in collected.lost] == [
        ("g1/0", Outcome.CANCELLED, "gone"),
        ("g1/1", Outcome.CANCELLED, "gone"),
    ]
    assert calls["g1/0"] == 3


async def test_a_request_that_the_engine_cancels_loses_the_episode_not_the_run(monkeypatch):
    monkeypatch.setattr("agentrl.rollout.run._ENGINE_BACKOFF_SECONDS", 0.0)

    class Cancelling(ScriptEngine):
        async def generate(self, request):
            if request.session == "g0/0":
                raise asyncio.CancelledError
            return await super().generate(request)

    collected = await collector(Cancelling(climb), retries=0).collect(requests(2, 1))
    assert [t.id for t in collected.trajectories] == ["g0/1", "g1/0"]
    assert collected.lost[0].outcome is Outcome.CANCELLED


async def test_a_hung_engine_meets_the_episode_deadline():
    class Hung(ScriptEngine):
        async def generate(self, request):
            if request.session == "g0/0":
                await asyncio.Event().wait()
            return await super().generate(request)

    collected = await collector(Hung(climb), retries=0, episode_seconds=0.2).collect(requests(2, 1))
    assert collected.lost[0].outcome is Outcome.TIMEOUT
    assert "rollout.episode_seconds" in collected.lost[0].error
    assert [t.id for t in collected.trajectories] == ["g0/1", "g1/0"]


async def test_a_slow_call_in_process_is_found_out_by_the_clock(monkeypatch):
    now = [0.0]

    class Slow(Ladder):
        def on_step(self, action):
            now[0] += 2.0 if self.task.id == "train/0" else 0.0
            return super().on_step(action)

    monkeypatch.setattr("agentrl.rollout.episode._clock", lambda: now[0])
    it = collector(ScriptEngine(climb), env=Slow, retries=0, turn_seconds=1.0)
    collected = await it.collect(requests(2, 1))
    assert {t.outcome for t in collected.lost} == {Outcome.TIMEOUT}
    assert "rollout.turn_seconds" in collected.lost[0].error
    assert [t.id for t in collected.trajectories] == ["g1/0"]


async def test_an_endless_episode_without_any_waiting_meets_its_deadline():
    it = collector(
        ScriptEngine(lambda *_: "wait"),
        env=lambda: Ladder(max_turns=10**9),
        dialogue=Forgetful,
        retries=0,
        episode_seconds=0.1,
    )
    with pytest.raises(EnvironmentFault, match="episode_seconds"):
        await it.collect(requests(1, 1))


class Forgetful(ByteDialogue):
    """Remembers nothing, so that it never runs out of context."""

    def prompt(self):
        self.history = b""
        return super().prompt()


async def test_the_event_loop_goes_round_while_nothing_ever_waits():
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticker = asyncio.create_task(tick())
    collected = await collector(
        ScriptEngine(lambda *_: "wait"), env=lambda: Ladder(max_turns=1000), dialogue=Forgetful
    ).collect(requests(4, 4))
    ticker.cancel()
    assert collected.stats.turns == 16_000
    assert ticks >= 1000 // 8


async def test_programming_errors_propagate_as_they_are():
    def policy(request, turn):
        if request.session == "g1/0":
            raise ZeroDivisionError("a bug")
        return "up"

    engine = ScriptEngine(policy, delay=0.001)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await collector(engine).collect(requests(3, 2))
    await asyncio.sleep(0.01)
    assert engine.running == 0


async def test_an_unknown_task_is_the_users_error():
    with pytest.raises(TaskError, match="unknown task 'nowhere/1'"):
        await collector(ScriptEngine(climb)).collect([GroupRequest("g", "nowhere/1")])


async def test_two_groups_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="'g' is asked for twice"):
        await collector(ScriptEngine(climb)).collect([GroupRequest("g", "train/1")] * 2)


async def test_a_first_prompt_that_never_fits_is_the_users_error():
    it = collector(ScriptEngine(climb), dialogue=lambda: ByteDialogue(budget=5))
    with pytest.raises(ConfigError, match="first prompt of every episode is too long"):
        await it.collect(requests(2, 2))


async def test_nothing_asked_nothing_given():
    collected = await collector(ScriptEngine(climb)).collect([])
    assert collected.trajectories == []


async def test_cancelling_stops_every_episode():
    engine = ScriptEngine(climb, delay=5.0)
    task = asyncio.create_task(collector(engine).collect(requests(4, 4)))
    while engine.running < 16:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.running == 0
    assert len(engine.released) == 16


async def test_an_error_in_the_callback_stops_every_episode():
    engine = ScriptEngine(climb, delay=0.01)

    def complain(trajectory):
        raise KeyError(trajectory.id)

    with pytest.raises(KeyError):
        await collector(engine).collect(requests(4, 4), on_episode=complain)
    assert engine.running == 0


async def test_leaving_a_stream_early_stops_every_episode():
    engine = ScriptEngine(climb, delay=0.01)
    stats = RolloutStats()
    async with aclosing(collector(engine).stream(requests(4, 4), stats=stats)) as episodes:
        async for _ in episodes:
            break
    assert engine.running == 0
    assert stats.seconds > 0


async def test_turns_name_the_policy_that_played_them():
    engine = ScriptEngine(climb)
    engine.version = 2
    collected = await collector(engine).collect(requests(1, 1))
    assert {turn.policy_version for turn in collected.trajectories[0].turns} == {2}


async def test_metrics_are_plain_numbers():
    collected = await collector(ScriptEngine(by_seed)).collect(requests(2, 2))
    metrics = collected.stats.as_metrics()
    assert metrics["episodes"] == 4.0
    assert sum(value for name, value in metrics.items() if name.startswith("outcome/")) == 4.0
    assert all(isinstance(value, float) for value in metrics.values())


def test_a_collector_outlives_its_event_loop():
    it = collector(ScriptEngine(climb))
    for _ in range(2):
        collected = asyncio.run(it.collect(requests(2, 2)))
        assert len(collected.trajectories) == 4


async def test_an_environment_that_cannot_be_made_is_a_loss_and_a_users_mistake_is_not():
    def broken():
        raise OSError("no disk")

    with pytest.raises(EnvironmentFault, match="raised OSError in making it: no disk"):
        await collector(ScriptEngine(climb), env=broken, retries=0).collect(requests(1, 1))

    def mistaken():
        raise ConfigError("no such option")

    with pytest.raises(ConfigError, match="no such option"):
        await collector(ScriptEngine(climb), env=mistaken).collect(requests(1, 1))


async def test_closing_closes_the_environments_whatever_they_raise():
    closed = []

    class Stubborn(Ladder):
        def close(self):
            closed.append(self)
            raise RuntimeError("never")

    async with collector(ScriptEngine(climb), env=Stubborn) as it:
        await it.collect(requests(1, 2))
    assert closed


async def test_a_turn_sampled_across_an_update_keeps_the_version_of_each_id():
    class Updated(ScriptEngine):
        async def generate(self, request):
            completion = await super().generate(request)
            versions = np.array([1] + [2] * (len(completion.token_ids) - 1), np.int32)
            return dataclasses.replace(completion, policy_version=1, versions=versions)

    collected = await collector(Updated(climb)).collect(requests(1, 1))
    turn = collected.trajectories[0].turns[0]
    assert turn.versions is not None
    assert turn.versions.tolist() == [1] + [2] * (len(turn.response_ids) - 1)
