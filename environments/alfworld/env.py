"""ALFWorld as a text environment."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from agentrl.env import Step, TextEnv
from agentrl.environments.alfworld.engine import BANNER, Engine
from agentrl.environments.alfworld.game import Game
from agentrl.environments.alfworld.levels import FULL
from agentrl.environments.alfworld.planner import Planner
from agentrl.environments.alfworld.search_expert import SearchExpert
from agentrl.environments.alfworld.tasks import Difficulty, generated_tasks, official_tasks
from agentrl.errors import ConfigError, did_you_mean
from agentrl.tasks import Task

Source = Literal["generated", "official"]
Expert = Literal["search", "planner"]


class AlfWorld(TextEnv):
    """Household tasks in text: find things, treat them and put them where they are wanted.

    Actions are sentences such as `go to fridge 1`; a sentence that is not admissible, to the
    letter, answers "Nothing happens." and counts as invalid. The reward is 1 on success.
    """

    max_turns: int | None = 50

    def __init__(
        self,
        *,
        source: Source = "generated",
        difficulty: Difficulty = FULL,
        expert: Expert | None = None,
        banner: bool = False,
        data: str | Path | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Choose the games.

        Args:
            source: `generated` needs no data; `official` reads the games of the data folder.
            difficulty: Level of generated games, from 1 to 6, or several to be mixed.
            expert: When set, info carries `expert_action`: `search` plays like a person who knows
                only what was seen, `planner` knows everything.
            banner: Keep the original's welcome line in the first observation.
            data: The folder with official games; by default `alfworld` in `AGENTRL_DATA`.
            split: The split that `reset` draws from when no task is named.
            max_turns: Overrides the limit of 50 turns.
            render_mode: None or "ansi".

        Raises:
            ConfigError: An option has an unknown value.
            TaskError: No such split, or its data are missing or damaged.
        """
        _check("source", source, get_args(Source))
        if expert is not None:
            _check("expert", expert, get_args(Expert))
        if source == "official":
            self.tasks = official_tasks(data)
        else:
            self.tasks = generated_tasks(difficulty)
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        self._expert_name = expert
        self._banner = banner
        self._engine: Engine | None = None
        self._expert: SearchExpert | Planner | None = None
        self._rng = np.random.default_rng(0)

    @property
    def engine(self) -> Engine:
        """Return the running game."""
        assert self._engine is not None, "call reset first"
        return self._engine

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        """Start a game."""
        game: Game = task.data
        self._engine = Engine(game)
        introduction = self._engine.introduction()
        self._rng = rng
        if self._expert_name == "search":
            self._expert = SearchExpert(introduction, rng, phrases=game.phrases)
        elif self._expert_name == "planner":
            self._expert = Planner(self._engine)
        return introduction if self._banner else introduction.removeprefix(f"{BANNER}\n\n")

    def on_step(self, action: str) -> Step:
        """Carry out a command."""
        meaning = self.engine.understand(action)
        feedback = self.engine.step(action)
        if self._expert is not None:
            self._expert.observe(action, feedback)
        if self.engine.won:
            return self.success(feedback)
        return self.invalid(feedback) if meaning is None else self.observe(feedback)

    def admissible_actions(self) -> list[str]:
        """Return the commands that mean something now, sorted."""
        return list(self.engine.admissible())

    def state_key(self) -> str:
        """Return text that is equal exactly when the game and the situation are equal."""
        return self.engine.state_key()

    def expert_action(self) -> str | None:
        """Return what the chosen expert would do now."""
        return self._expert.act() if self._expert is not None else None

    def snapshot_state(self) -> Any:
        """Return the game's situation and what the expert remembers."""
        rng = copy.deepcopy(self._rng)
        expert = self._expert.copy(rng) if isinstance(self._expert, SearchExpert) else None
        return self.engine.snapshot(), expert, rng

    def restore_state(self, state: Any) -> None:
        """Bring back a situation."""
        situation, expert, rng = state
        self._engine = Engine(situation[0])
        self._engine.restore(situation)
        self._rng = copy.deepcopy(rng)
        if self._expert_name == "search":
            self._expert = expert.copy(self._rng)
        elif self._expert_name == "planner":
            self._expert = Planner(self._engine)


def _check(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"unknown ALFWorld {option} {value!r}; {did_you_mean(str(value), known)}")
