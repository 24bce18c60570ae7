"""The text environment contract: Gymnasium's `Env` with text in and text out.

An environment author writes two methods, `on_reset` and `on_step`, and names the tasks:

    class Vault(agentrl.TextEnv):
        tasks = agentrl.TaskSet.seeded(train=5_000, test=500)

        def on_reset(self, task, rng):
            self.code = int(rng.integers(1000))
            return "A vault with three dials. Turn it to a number."

        def on_step(self, action):
            ...
            return self.observe("Higher.")

Everything an environment does is determined by (task, seed, actions). It knows nothing of chat
templates, models or reward shaping. Actions are model output: hostile text must be answered with
`self.invalid(...)`, never with an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import gymnasium
import numpy as np

from agentrl.errors import ConfigError, TaskError
from agentrl.spaces import FreeText
from agentrl.tasks import Task, TaskSet, task_seed


class Info(TypedDict, total=False):
    """The keys of `info` that the rest of agentrl relies on; an environment may add its own."""

    task_id: str
    """The task being played; always present."""
    success: bool
    """Whether the task has been solved so far; always present."""
    invalid: bool
    """Whether the last action was not understood; always present."""
    admissible_actions: list[str]
    """The actions that would do something now, where the environment can list them."""
    state_key: str
    """Text equal exactly when the agent's situation is equal; step-level credit groups on it."""
    answer: str
    """The ground-truth answer, where there is one."""
    metrics: dict[str, float]
    """Figures about the episode so far, beyond reward and success; the last ones are kept."""
    expert_action: str
    """What an oracle would do now; present when the environment was made with an expert."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an action led to, as `on_step` returns it."""

    observation: str
    reward: float = 0.0
    terminated: bool = False
    success: bool = False
    invalid: bool = False


class TextEnv(gymnasium.Env[str, str]):
    """A task-driven environment whose observations and actions are plain text.

    Attributes:
        tasks: The task set, with disjoint named splits.
        max_turns: Turns after which an episode is truncated; None for no limit.
        answer_template: The action that gives an answer, with `{answer}` in its place; None where
            there is none. Credit methods that measure the belief in the answer use it.
    """

    tasks: TaskSet
    max_turns: int | None = 50
    answer_template: str | None = None
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - Gymnasium's shape

    def __init__(
        self,
        *,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Prepare an environment that draws its tasks from `split`.

        Args:
            split: The split that `reset` draws from when no task is named.
            max_turns: Overrides the class's limit on turns.
            render_mode: None or "ansi".

        Raises:
            TaskError: The task set has no such split.
            ConfigError: The limit or the render mode makes no sense.
        """
        self.tasks.size(split)
        if max_turns is not None and not (isinstance(max_turns, int) and max_turns >= 1):
            raise ConfigError(f"max_turns must be a whole number from 1, not {max_turns!r}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode must be None or 'ansi', not {render_mode!r}")
        self.split = split
        self.max_turns = max_turns if max_turns is not None else type(self).max_turns
        self.render_mode = render_mode
        self.observation_space = FreeText()
        self.action_space = FreeText()
        self.task: Task | None = None
        self._turns = 0
        self._last = Step("", terminated=True)

    # What an author writes ---------------------------------------------------------------------

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        """Start `task` and return the first observation; draw all randomness from `rng`."""
        raise NotImplementedError

    def on_step(self, action: str) -> Step:
        """Act; return `self.observe(…)`, `.success(…)`, `.failure(…)` or `.invalid(…)`."""
        raise NotImplementedError

    @classmethod
    def blocks(cls, **options: Any) -> bool:
        """Return whether an environment made with these options belongs in worker processes.

        True where a call takes so long, or so little heeds threads and other games in the process,
        that playing it beside others would do harm. The collector then starts workers by itself.
        """
        del options
        return False

    @classmethod
    def panels(cls) -> Mapping[str, int]:
        """Return the fixed panels whose data are here: size by name, such as `test@3fa2c09b17de`.

        The name is the split's with `agentrl.tasks.panel_digest` of its contents.
        """
        return {}

    @classmethod
    def browser_app(cls, make: Callable[[], Any], **settings: Any) -> Any:
        """Return an ASGI application in which a person plays in a browser, or None for none.

        `agentrl play NAME --browser` serves it. It keeps its own sessions, each with an environment
        from `make`.

        Args:
            make: Returns a fresh environment, made with the options that the person gave.
            settings: `task` (its id, or None to draw one), `seed` (of the draw, or None), `hosts`
                (the names a request may be sent to) and `record` (None, or a function to be given
                the `Trajectory` of each finished episode).
        """
        del make, settings
        return None

    def admissible_actions(self) -> list[str] | None:
        """Return the actions that would do something now, or None where they cannot be listed."""
        return None

    def state_key(self) -> str | None:
        """Return text that is equal exactly when the agent's situation is equal."""
        return None

    def answer(self) -> str | None:
        """Return the ground-truth answer, where there is one."""
        return None

    def metrics(self) -> Mapping[str, float] | None:
        """Return figures about the episode so far, such as a recall, or None for none.

        Those of an episode's last turn are kept with it, and their means are in the figures of
        training (`env/NAME`) and in evaluation reports.
        """
        return None

    def expert_action(self) -> str | None:
        """Return what an oracle would do now, where there is one and it was asked for."""
        return None

    def snapshot_state(self) -> Any:
        """Return the author's part of a snapshot; it must not change when the game goes on."""
        raise NotImplementedError(f"{type(self).__name__} does not support snapshots")

    def restore_state(self, state: Any) -> None:
        """Put back what `snapshot_state` returned."""
        raise NotImplementedError(f"{type(self).__name__} does not support snapshots")

    # What an author returns --------------------------------------------------------------------

    def observe(self, text: str, reward: float = 0.0) -> Step:
        """Go on with the episode."""
        return Step(text, reward)

    def success(self, text: str, reward: float = 1.0) -> Step:
        """End the episode: the task is solved."""
        return Step(text, reward, terminated=True, success=True)

    def failure(self, text: str, reward: float = 0.0) -> Step:
        """End the episode: the task can no longer be solved."""
        return Step(text, reward, terminated=True)

    def invalid(self, text: str, reward: float = 0.0) -> Step:
        """Go on with the episode; the action was not understood and changed nothing."""
        return Step(text, reward, invalid=True)

    # What a caller uses ------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds the environment's own random stream (Gymnasium's rule: None keeps it).
            options: `{"task": id}` names the task; without it one of the split is drawn.

        Returns:
            The first observation and its info (see `Info`).

        Raises:
            TaskError: No such task.
        """
        super().reset(seed=seed)
        named = (options or {}).get("task")
        task = self.tasks.get(named) if named is not None else self._draw()
        rng = np.random.default_rng([task_seed(task.id), seed if seed is not None else 0])
        self.task = task
        self._turns = 0
        self._last = Step("")
        self._last = _encodable(Step(self.on_reset(task, rng)))
        return self._last.observation, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one action; see `gymnasium.Env.step`. Nonsense is answered, never raised."""
        if self.task is None or self._last.terminated:
            raise TaskError(f"{type(self).__name__}.step needs a running episode: call reset first")
        self._last = step = _encodable(self.on_step(action))
        self._turns += 1
        truncated = (
            not step.terminated and self.max_turns is not None and self._turns >= self.max_turns
        )
        return step.observation, float(step.reward), step.terminated, truncated, self._info()

    def snapshot(self) -> Any:
        """Return a value from which `restore` brings this exact situation back."""
        return self.task, self._turns, self._last, self.snapshot_state()

    def restore(self, snapshot: Any) -> None:
        """Go back to a situation that `snapshot` recorded on an environment of the same making."""
        self.task, self._turns, self._last, state = snapshot
        self.restore_state(state)

    def render(self) -> str:
        """Return the current observation."""
        return self._last.observation

    def _draw(self) -> Task:
        index = int(self.np_random.integers(self.tasks.size(self.split)))
        return self.tasks.at(self.split, index)

    def _info(self) -> dict[str, Any]:
        assert self.task is not None
        info: dict[str, Any] = {
            "task_id": self.task.id,
            "success": self._last.success,
            "invalid": self._last.invalid,
        }
        for key, value in (
            ("admissible_actions", self.admissible_actions()),
            ("state_key", self.state_key()),
            ("answer", self.answer()),
            ("metrics", self.metrics()),
            ("expert_action", None if self._last.terminated else self.expert_action()),
        ):
            if value is not None:
                info[key] = value
        return info


def _encodable(step: Step) -> Step:
    """Return a step without lone surrogates: an echoed action may hold them, no file can."""
    text = step.observation
    if not isinstance(text, str) or text.isascii():
        return step
    return replace(step, observation=text.encode(errors="replace").decode())


_INTEGER = re.compile(r"[-+]?\d{1,18}")


def parse_int(text: str) -> int | None:
    """Return the first whole number in `text`, or None."""
    found = _INTEGER.search(text[:10_000])
    return int(found.group()) if found else None


def is_text_env(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether `env` is, below its wrappers, a `TextEnv`."""
    return isinstance(env.unwrapped, TextEnv)


__all__: Sequence[str] = ["Info", "Step", "TextEnv", "is_text_env", "parse_int"]
