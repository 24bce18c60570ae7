"""Asks an environment once, before any rollout, for what the credit methods will read from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agentrl import blocking
from agentrl.config import RolloutConfig
from agentrl.credit.base import CreditMethod, ReadsInfo
from agentrl.errors import ConfigError, EnvironmentFault
from agentrl.rollout.environments import EnvironmentPool, EnvSpec, LocalPool, needs_workers
from agentrl.rollout.worker_pool import WorkerPool

_MENDS = {
    "state_key": "let its state_key() name the situation, or compare texts instead: with salt, or "
    "with gigpo and its anchor=observation",
    "answer": "let its answer() return the reference answer, or leave {method} out",
}


def check_info(
    methods: Iterable[CreditMethod], spec: EnvSpec, config: RolloutConfig, task_id: str
) -> None:
    """Refuse credit methods that read what the environment does not tell.

    A fresh environment is made, reset to one task and closed, in a worker process where rollouts
    would use one. Nothing happens where no method reads anything. An environment that fails to
    reset is not judged: rollouts report that, as they do for any task.

    Args:
        methods: Those that declare `reads`, the keys of `agentrl.env.Info` that they need.
        spec: The environment, as the rollout makes it.
        config: Says whether environments are played in workers.
        task_id: One task of the split that is trained on.

    Raises:
        ConfigError: A key is missing, or None, where a method needs it.
        AgentRLError: The environment cannot be made.
    """
    wanted: dict[str, str] = {}
    for method in methods:
        if isinstance(method, ReadsInfo):
            wanted |= dict.fromkeys(sorted(method.reads - wanted.keys()), method.name)
    if not wanted:
        return
    try:
        info = blocking.run(_first_info(spec, config, task_id))
    except EnvironmentFault:
        return
    for key, name in wanted.items():
        if info.get(key) is None:
            mend = _MENDS.get(key, "leave {method} out").format(method=name)
            raise ConfigError(
                f"credit method {name!r} needs info[{key!r}], which the environment "
                f"{spec.name!r} does not give (task {task_id!r}): {mend}"
            )


async def _first_info(spec: EnvSpec, config: RolloutConfig, task_id: str) -> dict[str, Any]:
    pool: EnvironmentPool = (
        WorkerPool(spec, 1, config.turn_seconds)
        if config.workers or needs_workers(spec)
        else LocalPool(spec)
    )
    try:
        env = await pool.acquire()
        try:
            return (await env.reset(task_id, 0))[1]
        finally:
            pool.release(env)
    finally:
        await pool.close()
