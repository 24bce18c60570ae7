"""Where episodes are played: the contract between collector and environments, and in-process play.

A pool lends environments out for one episode each. `LocalPool` plays in this process: fast, but a
hung call cannot be interrupted. `agentrl.rollout.worker_pool.WorkerPool` plays in processes that
can be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium

from agentrl.env import TextEnv
from agentrl.errors import AgentRLError, EnvironmentFault
from agentrl.registry import load, make

EnvFactory = Callable[[], gymnasium.Env[str, str]]
"""Makes one environment; for worker processes it must survive pickling, as `EnvSpec` does."""

StepResult = tuple[str, float, bool, bool, dict[str, Any]]
"""Observation, reward, terminated, truncated, info."""


class DeadlineFault(EnvironmentFault):
    """An environment call or an episode outlived its wall-clock deadline."""


@dataclass(frozen=True, slots=True)
class EnvSpec:
    """An environment by registered name: a factory that can be sent to another process."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> TextEnv:
        """Make the environment; see `agentrl.registry.make` for the errors."""
        return make(self.name, **self.options)

    def blocks(self) -> bool:
        """Return what the environment says of itself; see `TextEnv.blocks`."""
        asked = getattr(load("environments", self.name), "blocks", None)
        return bool(asked(**self.options)) if asked is not None else False


def needs_workers(factory: EnvFactory) -> bool:
    """Return whether the environments of a factory ask to be played in worker processes."""
    asked = getattr(factory, "blocks", None)
    return bool(asked()) if callable(asked) else False


class Environment(Protocol):
    """An environment lent out for one episode."""

    max_turns: int | None
    """Turns after which the episode is truncated."""

    async def reset(self, task_id: str, seed: int) -> tuple[str, dict[str, Any]]:
        """Start a task; raises `EnvironmentFault` where the machinery fails."""
        ...

    async def step(self, action: str) -> StepResult:
        """Take one action; raises `EnvironmentFault` where the machinery fails."""
        ...


class EnvironmentPool(Protocol):
    """Lends out environments and takes them back."""

    capacity: int | None
    """Most environments lent out at a time; None for no limit."""

    async def acquire(self) -> Environment:
        """Return an environment that nobody else uses."""
        ...

    def release(self, environment: Any) -> None:
        """Take an environment back; a broken one is thrown away."""
        ...

    async def close(self) -> None:
        """Close every environment; the pool cannot be used afterwards."""
        ...


class LocalEnvironment:
    """An environment in this process."""

    __slots__ = ("_env", "is_broken", "max_turns")

    def __init__(self, env: gymnasium.Env[str, str]) -> None:
        self._env = env
        self.is_broken = False
        self.max_turns: int | None = turn_limit(env)

    async def reset(self, task_id: str, seed: int) -> tuple[str, dict[str, Any]]:
        """Start a task."""
        try:
            return self._env.reset(seed=seed, options={"task": task_id})
        except AgentRLError:
            raise
        except Exception as error:
            self.is_broken = True
            raise EnvironmentFault(describe("reset", error)) from error

    async def step(self, action: str) -> StepResult:
        """Take one action."""
        try:
            return self._env.step(action)  # type: ignore[return-value]  # float(reward) is checked
        except AgentRLError:
            raise
        except Exception as error:
            self.is_broken = True
            raise EnvironmentFault(describe("step", error)) from error

    def close(self) -> None:
        """Close the environment; what a broken one raises then is of no interest."""
        with suppress(Exception):
            self._env.close()


class LocalPool:
    """Environments in this process, made when needed and used again."""

    capacity: int | None = None

    def __init__(self, factory: EnvFactory) -> None:
        self._factory = factory
        self._idle: list[LocalEnvironment] = []

    async def acquire(self) -> LocalEnvironment:
        """Return an idle environment, or a new one."""
        if self._idle:
            return self._idle.pop()
        try:
            return LocalEnvironment(self._factory())
        except AgentRLError:
            raise
        except Exception as error:
            raise EnvironmentFault(describe("making it", error)) from error

    def release(self, environment: LocalEnvironment) -> None:
        """Keep an environment for the next episode, unless it has raised."""
        if environment.is_broken:
            environment.close()
        else:
            self._idle.append(environment)

    async def close(self) -> None:
        """Close the idle environments."""
        while self._idle:
            self._idle.pop().close()


def turn_limit(env: gymnasium.Env[str, str]) -> int | None:
    """Return the turns after which an environment truncates, or None."""
    limit = getattr(env.unwrapped, "max_turns", None)
    return int(limit) if limit is not None else None


def describe(call: str, error: BaseException) -> str:
    """Return one line on an exception that an environment raised."""
    text = " ".join(str(error).split())[:300]
    return f"the environment raised {type(error).__name__} in {call}: {text}"
