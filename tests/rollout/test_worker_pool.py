from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from rollout_doubles import ByteDialogue, Ladder, ScriptEngine, climb

from agentrl.config import RolloutConfig
from agentrl.errors import ConfigError, EnvironmentFault, RegistryError, TaskError
from agentrl.rollout.collector import Collector, GroupRequest
from agentrl.rollout.environments import DeadlineFault, EnvSpec
from agentrl.rollout.worker_pool import WorkerPool
from agentrl.trajectory import Outcome

DOUBLES = f"{Path(__file__).parent / 'doubles.py'}:Ladder"


@pytest.fixture(autouse=True)
def _no_leaks():
    """No test may leave a process or a file descriptor behind."""
    gc.collect()
    me = psutil.Process()
    descriptors, others = me.num_fds(), me.children(recursive=True)
    yield
    gc.collect()
    left = [child for child in me.children(recursive=True) if child not in others]
    assert list(filter(is_worker, left)) == []
    assert me.num_fds() <= descriptors


def is_worker(process: psutil.Process) -> bool:
    try:
        return any("worker_main" in part for part in process.cmdline())
    except psutil.ZombieProcess:
        return True


def collector(spec, *, policy=climb, delay=0.0, **config):
    return Collector(spec, ByteDialogue, ScriptEngine(policy, delay), RolloutConfig(**config))


def faulty_requests(groups: int, size: int = 1) -> list[GroupRequest]:
    return [GroupRequest(f"g{i}", f"train/{i}", "train", size, seed=i) for i in range(groups)]


def snapshot(trajectories):
    return [
        (t.id, t.outcome, t.answer, t.final_state_key, t.final_observation, t.metrics, played(t))
        for t in trajectories
    ]


def played(trajectory):
    return [(t.observation, t.action, t.reward, t.state_key, t.valid) for t in trajectory.turns]


async def test_workers_play_exactly_what_the_process_itself_plays():
    spec = EnvSpec(DOUBLES, {"max_turns": 3})
    policies = {"policy": lambda request, turn: ["up", "hop", "!", "up"][turn % 4]}
    async with collector(spec, workers=2, **policies) as it:
        apart = await it.collect(faulty_requests(4, 2))
    inside = await collector(spec, **policies).collect(faulty_requests(4, 2))
    assert snapshot(apart.trajectories) == snapshot(inside.trajectories)
    assert apart.trajectories[0].environment == DOUBLES


async def test_every_kind_of_breakdown_is_survived_counted_and_replayed(faulty, tmp_path):
    spec = EnvSpec(faulty, {"plan": str(tmp_path)})
    async with collector(spec, workers=4, turn_seconds=0.5, retries=1) as it:
        collected = await it.collect(faulty_requests(8))
    assert [t.id for t in collected.trajectories] == [f"g{i}/0" for i in range(8)]
    assert all(t.outcome is Outcome.SUCCESS for t in collected.trajectories)
    assert collected.stats.faults == {Outcome.ENV_ERROR: 6, Outcome.TIMEOUT: 2}
    assert collected.stats.retries == 8
    assert collected.stats.lost == 0


@pytest.mark.parametrize(
    ("kind", "outcome", "error"),
    [
        ("raise", Outcome.ENV_ERROR, "the environment raised RuntimeError in step: it broke"),
        ("hang", Outcome.TIMEOUT, "step took longer than 0.4 s"),
        ("exit", Outcome.ENV_ERROR, "the worker process ended with exit code 3 in step"),
        ("kill", Outcome.ENV_ERROR, "the worker process was killed by SIGKILL in step"),
    ],
)
async def test_the_loss_says_what_happened(faulty, kind, outcome, error):
    spec = EnvSpec(faulty, {"always": kind})
    stream = collector(spec, workers=1, turn_seconds=0.4, retries=0)
    async with stream as it:
        lost = [t async for t in it.stream(faulty_requests(1))]
    assert [(t.outcome, t.error) for t in lost] == [(outcome, error)] * 2
    assert len(lost[0].turns) == 1


async def test_a_run_with_random_breakdowns_finishes_and_counts_every_loss(faulty):
    """The fault run: one step in ten raises, hangs, exits or is killed."""
    spec = EnvSpec(faulty, {"rate": 0.1, "child": True})
    seen = []
    async with collector(spec, workers=4, turn_seconds=0.5, retries=2) as it:
        collected = await it.collect(faulty_requests(10, 4), on_episode=seen.append)
    stats = collected.stats
    assert sum(stats.faults.values()) == stats.retries + stats.lost
    assert len(collected.lost) == stats.lost
    assert len(collected.trajectories) + len(collected.lost) == len(seen) == 40 + stats.refills
    assert not any(t.outcome.is_infrastructure for t in collected.trajectories)
    assert all(t.outcome is Outcome.SUCCESS for t in collected.trajectories)
    ends = {t.id for t in collected.trajectories} | {t.id for t in collected.lost}
    assert {f"g{g}/{i}" for g in range(10) for i in range(4)} <= ends


async def test_children_of_an_environment_die_with_its_worker(faulty):
    spec = EnvSpec(faulty, {"child": True})
    before = set(psutil.Process().children(recursive=True))
    async with collector(spec, workers=1) as it:
        await it.collect(faulty_requests(2))
        family = set(psutil.Process().children(recursive=True)) - before
        assert len(family) >= 2
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


async def test_the_episode_deadline_interrupts_a_hung_worker(faulty):
    spec = EnvSpec(faulty, {"always": "hang"})
    it = collector(spec, workers=1, turn_seconds=None, episode_seconds=0.3, retries=0)
    async with it:
        lost = [t async for t in it.stream(faulty_requests(1))]
    assert {t.outcome for t in lost} == {Outcome.TIMEOUT}
    assert "episode_seconds" in lost[0].error


async def test_cancelling_kills_the_workers_amid_a_call(faulty):
    it = collector(EnvSpec(faulty, {"always": "hang"}), workers=2, turn_seconds=None)
    task = asyncio.create_task(it.collect(faulty_requests(4)))
    while len(it._pool._processes) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await it.close()
    assert it._pool._processes == set()


async def test_a_worker_killed_while_idle_is_replaced_without_a_loss(faulty):
    async with collector(EnvSpec(faulty), workers=1, retries=0) as it:
        await it.collect(faulty_requests(1))
        (process,) = it._pool._processes
        os.kill(process.pid, signal.SIGKILL)
        # Not only the process but its last thread must be gone, or its socket is still open.
        while process.poll() is None:
            await asyncio.sleep(0.01)
        collected = await it.collect(faulty_requests(1))
        assert collected.stats.lost == 0
        assert process not in it._pool._processes


async def test_workers_are_used_again(faulty):
    async with collector(EnvSpec(faulty), workers=2, delay=0.01) as it:
        await it.collect(faulty_requests(4))
        first = {process.pid for process in it._pool._processes}
        await it.collect(faulty_requests(4))
        assert {process.pid for process in it._pool._processes} == first
        assert len(first) == 2


async def test_mistakes_of_the_user_are_not_retried():
    async with collector(EnvSpec("alfwurld"), workers=1) as it:
        with pytest.raises(RegistryError, match="unknown name 'alfwurld'"):
            await it.collect(faulty_requests(1))
    async with collector(EnvSpec(DOUBLES, {"colour": "red"}), workers=1) as it:
        with pytest.raises(ConfigError, match="option"):
            await it.collect(faulty_requests(1))
    async with collector(EnvSpec(DOUBLES), workers=1) as it:
        with pytest.raises(TaskError, match="unknown task 'nowhere/1'"):
            await it.collect([GroupRequest("g", "nowhere/1")])


def test_a_factory_that_cannot_be_pickled_is_refused_at_once():
    with pytest.raises(ConfigError, match="cannot be sent to worker processes"):
        collector(lambda: Ladder(), workers=1)


async def test_an_environment_that_cannot_be_made_is_a_loss(faulty):
    async with collector(EnvSpec(faulty, {"disk": False}), workers=1, retries=0) as it:
        with pytest.raises(EnvironmentFault, match="OSError in start: no disk"):
            await it.collect(faulty_requests(1))


async def test_surrogates_and_long_texts_come_through(faulty):
    for shout, expected in (("a\ud800b", "a?b"), ("x" * 3_000_000, "x" * 3_000_000)):
        pool = WorkerPool(EnvSpec(faulty, {"shout": shout}), 1, 10.0)
        worker = await pool.acquire()
        await worker.reset("train/0", 0)
        observation, *_ = await worker.step("\udc80" + "y" * 1_000_000)
        assert observation == expected
        pool.release(worker)
        await pool.close()


async def test_the_deadline_names_itself(faulty):
    pool = WorkerPool(EnvSpec(faulty, {"always": "hang"}), 1, 0.3)
    worker = await pool.acquire()
    await worker.reset("train/0", 0)
    with pytest.raises(DeadlineFault, match=r"step took longer than 0.3 s"):
        await worker.step("go")
    assert not worker.alive
    pool.release(worker)
    await pool.close()


def test_a_pool_outlives_its_event_loop(faulty):
    it = collector(EnvSpec(faulty), workers=1)
    for _ in range(2):
        collected = asyncio.run(it.collect(faulty_requests(1)))
        assert collected.stats.episodes == 1
    asyncio.run(it.close())


def test_a_forgotten_pool_is_cleaned_up(faulty):
    it = collector(EnvSpec(faulty), workers=1)
    asyncio.run(it.collect(faulty_requests(1)))
    del it
    gc.collect()


SCRIPT = """
    import asyncio, sys
    sys.path.insert(0, {here!r})
    from doubles import ByteDialogue, ScriptEngine, climb
    from agentrl.config import RolloutConfig
    from agentrl.rollout.collector import Collector, GroupRequest
    from agentrl.rollout.environments import EnvSpec

    async def main():
        env = EnvSpec({faulty!r}, {{"always": "hang", "child": True}})
        config = RolloutConfig(workers=3, turn_seconds=None)
        async with Collector(env, ByteDialogue, ScriptEngine(climb), config) as it:
            await it.collect([GroupRequest(f"g{{i}}", f"train/{{i}}") for i in range(6)])

    asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_survives_the_collector(faulty, how):
    """Ctrl-C, and a death that leaves no time to clean up."""
    script = textwrap.dedent(SCRIPT).format(here=str(Path(__file__).parent), faulty=faulty)
    run = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    family = wait_for_family(psutil.Process(run.pid), 6)
    run.send_signal(how)
    _, errors = run.communicate(timeout=30)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert run.returncode != 0
    if how is signal.SIGINT:
        assert "KeyboardInterrupt" in errors


def wait_for_family(process: psutil.Process, size: int) -> list[psutil.Process]:
    """Return the descendants once each worker has started its environment's own child."""
    for _ in range(600):
        family = process.children(recursive=True)
        if len(family) >= size:
            time.sleep(0.3)
            return family
        time.sleep(0.05)
    raise AssertionError("the workers did not start")
