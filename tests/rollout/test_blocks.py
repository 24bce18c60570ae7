"""Environments that block are played in worker processes without being asked to."""

from __future__ import annotations

import os

import agentrl
from agentrl.config import RolloutConfig
from agentrl.rollout.collector import Collector
from agentrl.rollout.environments import EnvSpec, LocalPool, needs_workers
from agentrl.rollout.worker_pool import WorkerPool


class Slow(agentrl.TextEnv):
    """Blocks where it is told to."""

    tasks = agentrl.TaskSet.seeded(train=3, test=1)

    def __init__(self, *, slow: bool = True, split: str = "train") -> None:
        super().__init__(split=split)

    @classmethod
    def blocks(cls, **options):
        return bool(options.get("slow", True))


def pool(env, **config):
    return Collector(env, None, None, RolloutConfig(**config))._pool


def test_workers_start_by_themselves_for_a_blocking_environment():
    spec = EnvSpec(f"{__file__}:Slow")
    assert needs_workers(spec)
    blocking = pool(spec)
    assert isinstance(blocking, WorkerPool)
    assert blocking.capacity == (os.cpu_count() or 1)
    assert pool(spec, concurrency=1).capacity == 1
    assert pool(spec, workers=3).capacity == 3


def test_the_options_decide():
    assert isinstance(pool(EnvSpec(f"{__file__}:Slow", {"slow": False})), LocalPool)


def test_others_stay_in_process():
    assert isinstance(pool(EnvSpec("alfworld")), LocalPool)
    assert isinstance(pool(lambda: Slow(slow=False)), LocalPool)
    assert needs_workers(Slow)
