"""TextWorld as a text environment."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from agentrl.env import Step, TextEnv
from agentrl.environments.textworld.challenges import PARAMETERS, recipe_of
from agentrl.environments.textworld.engine import Engine
from agentrl.environments.textworld.expert import Expert, ExpertName
from agentrl.environments.textworld.tasks import Library, task_set
from agentrl.errors import ConfigError, did_you_mean
from agentrl.tasks import Task

RewardMode = Literal["sparse", "dense"]


class TextWorld(TextEnv):
    """Text adventures from TextWorld's generators, played by its real engine.

    Actions are commands such as `take coin` or `go north`. A command that does nothing is answered
    in the game's words, counts as invalid and leaves no trace. The engine blocks and is not safe
    to use from several threads, so it is played in worker processes.
    """

    max_turns: int | None = 50

    def __init__(
        self,
        *,
        challenge: str = "treasure_hunter",
        reward: RewardMode = "sparse",
        expert: ExpertName | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
        level: int | None = None,
        goal: str | None = None,
        recipe: int | None = None,
        take: int | None = None,
        go: int | None = None,
        open: bool | None = None,
        cook: bool | None = None,
        cut: bool | None = None,
        drop: bool | None = None,
        recipe_seed: int | None = None,
        foods: str | None = None,
        rewards: str | None = None,
        rooms: int | None = None,
        objects: int | None = None,
        quest_length: int | None = None,
        quest_breadth: int | None = None,
        parallel_quests: int | None = None,
    ) -> None:
        """Choose the games; see the README for the difficulty parameters, from `level` on.

        `challenge` is `treasure_hunter`, `coin_collector`, `cooking`, `simple` or `custom`.
        `reward="sparse"` gives 1 for winning; `dense` gives each point of the game's score when
        it is won, as a share of the highest score. With an `expert`, info carries
        `expert_action`: `planner` finds a way from wherever the agent is, `walkthrough` also does
        what only informs. Other options are those of every environment.

        Raises:
            ConfigError: An option has an unknown value or the challenge no such parameter.
            MissingExtraError: TextWorld is not installed.
            TaskError: No such split.
        """
        given = {name: value for name, value in locals().items() if name in PARAMETERS}
        asked = {name: value for name, value in given.items() if value is not None}
        _check("reward", reward, get_args(RewardMode))
        if expert is not None:
            _check("expert", expert, get_args(ExpertName))
        self.tasks = task_set(Library(recipe_of(challenge, **asked)))
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        self._is_dense = reward == "dense"
        self._expert_name = expert
        self._engine = Engine(plans=expert is not None)
        self._expert: Expert | None = None

    @classmethod
    def blocks(cls, **options: Any) -> bool:
        """Return True: the engine is a C program with globals, and compiling takes seconds."""
        del options
        return True

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        """Start a game."""
        del rng
        introduction = self._engine.start(task.data)
        if self._expert_name is not None:
            self._expert = Expert(self._expert_name, self._engine)
        return introduction

    def on_step(self, action: str) -> Step:
        """Carry out a command."""
        engine = self._engine
        before = engine.score
        outcome = engine.step(action)
        if self._expert is not None:
            self._expert.observe(action, outcome.acted)
        gained = (engine.score - before) / engine.max_score if engine.max_score else 0.0
        reward = gained if self._is_dense else float(engine.won)
        if engine.won:
            return self.success(outcome.text, reward)
        if engine.lost:
            return self.failure(outcome.text, reward)
        if not outcome.acted:
            return self.invalid(outcome.text)
        return self.observe(outcome.text, reward)

    def admissible_actions(self) -> list[str]:
        """Return the commands that do something now, sorted."""
        return list(self._engine.admissible())

    def state_key(self) -> str:
        """Return text that is equal exactly when the game and the situation are equal."""
        return self._engine.state_key()

    def expert_action(self) -> str | None:
        """Return what the chosen expert would do now."""
        return self._expert.act() if self._expert is not None else None

    def snapshot_state(self) -> Any:
        """Return the game's situation and what the expert remembers."""
        memory = self._expert.remember() if self._expert is not None else None
        return self._engine.situation(), memory

    def restore_state(self, state: Any) -> None:
        """Bring back a situation."""
        situation, memory = state
        self._engine.return_to(situation)
        if self._expert_name is not None:
            self._expert = Expert(self._expert_name, self._engine)
            self._expert.recall(memory)

    def close(self) -> None:
        """End the interpreter."""
        self._engine.close()
        super().close()

    def _info(self) -> dict[str, Any]:
        """Return the info that the contract asks for, with the game's score."""
        info = super()._info()
        info["score"] = self._engine.score
        info["max_score"] = self._engine.max_score
        return info


def _check(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        hint = did_you_mean(str(value), known)
        raise ConfigError(f"unknown TextWorld {option} {value!r}; {hint}")
