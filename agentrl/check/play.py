"""Playing an environment and comparing what it said."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentrl.env import TextEnv
from agentrl.errors import explain

NOISE = (
    "look", "help", "inventory", "go north", "open door 1", "take key", "42", "-7", "yes", "no",
    "search[news]", "submit", "xyzzy", "examine the thing", "click[buy now]", "0", "999", "a",
)  # fmt: skip
"""Words a random agent says where the environment lists no actions."""


class RaisedError(Exception):
    """An environment raised where it must not; the message says what was called and where."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What `reset` or `step` returned."""

    observation: str
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated

    @property
    def admissible(self) -> list[str] | None:
        """The listed actions, or None where there is no list."""
        return self.info.get("admissible_actions")

    @property
    def key(self) -> str | None:
        """The situation's key, or None."""
        return self.info.get("state_key")

    def plain(self) -> dict[str, Any]:
        """Return the frame as plain values, equal in every process when the frames are equal."""
        parts = {
            "observation": self.observation,
            "reward": self.reward,
            "terminated": self.terminated,
            "truncated": self.truncated,
        }
        parts |= {f"info[{name!r}]": value for name, value in self.info.items()}
        return {name: plain(value) for name, value in parts.items()}


def start(env: TextEnv, task_id: str, seed: int = 0) -> Frame:
    """Reset to a task.

    Raises:
        RaisedError: `reset` raised.
    """
    try:
        observation, info = env.reset(seed=seed, options={"task": task_id})
    except Exception as error:
        raise RaisedError(f"reset to task {task_id!r} raised {explain(error)}") from error
    return Frame(observation, 0.0, False, False, dict(info))


def act(env: TextEnv, action: str) -> Frame:
    """Take an action.

    Raises:
        RaisedError: `step` raised.
    """
    try:
        observation, reward, terminated, truncated, info = env.step(action)
    except Exception as error:
        raise RaisedError(f"step({brief(action)}) raised {explain(error)}") from error
    return Frame(observation, reward, terminated, truncated, dict(info))


def replay(env: TextEnv, task_id: str, seed: int, actions: Sequence[str]) -> list[Frame]:
    """Return the frames of an episode played by a list of actions, the first one included."""
    frames = [start(env, task_id, seed)]
    for action in actions:
        if frames[-1].ended:
            break
        frames.append(act(env, action))
    return frames


def walk(
    env: TextEnv, task_id: str, seed: int, rng: np.random.Generator, turns: int
) -> tuple[list[str], list[Frame]]:
    """Return a random agent's actions and the frames, one more than actions."""
    frames = [start(env, task_id, seed)]
    actions: list[str] = []
    while len(actions) < turns and not frames[-1].ended:
        actions.append(random_action(frames[-1], rng))
        frames.append(act(env, actions[-1]))
    return actions, frames


def random_action(frame: Frame, rng: np.random.Generator, noise: float = 0.1) -> str:
    """Return an admissible action, or now and then (always where there is no list) some words."""
    listed = frame.admissible
    if not listed or rng.random() < noise:
        pick = rng.integers(len(NOISE) + 4)
        return NOISE[pick] if pick < len(NOISE) else str(rng.integers(1000))
    return listed[int(rng.integers(len(listed)))]


def first_difference(ours: Sequence[Any], theirs: Sequence[Any]) -> str | None:
    """Return where two lists of plain frames part, as `turn 3: info['state_key'] …`, or None."""
    for turn, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        for name in [*one, *(name for name in other if name not in one)]:
            mine, yours = one.get(name, "absent"), other.get(name, "absent")
            if mine != yours:
                return f"turn {turn}: {name} was {brief(mine)}, then {brief(yours)}"
    if len(ours) != len(theirs):
        return f"the episode took {len(ours) - 1} turns, then {len(theirs) - 1}"
    return None


def plain(value: Any) -> Any:
    """Return a value as JSON-ready data that is equal whenever the values are equal.

    Sets are sorted and objects of unknown type stand as their type, so that neither hash seeds
    nor addresses count as differences.
    """
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    return f"<{type(value).__qualname__}>"


def brief(value: Any, limit: int = 60) -> str:
    """Return a value's repr, shortened, safe to print anywhere."""
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 12]}… ({len(text)} long)"


def pairs(items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield all pairs of different positions."""
    for index, item in enumerate(items):
        for other in items[index + 1 :]:
            yield item, other
