"""ALFWorld as a text environment."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from agentrl.env import Step, TextEnv
from agentrl.environments.alfworld.backend import OriginalPlayer, require_original
from agentrl.environments.alfworld.engine import BANNER, Engine
from agentrl.environments.alfworld.game import Game
from agentrl.environments.alfworld.levels import FULL
from agentrl.environments.alfworld.official import named_panels
from agentrl.environments.alfworld.planner import Planner
from agentrl.environments.alfworld.search_expert import SearchExpert
from agentrl.environments.alfworld.tasks import Difficulty, generated_tasks, official_tasks
from agentrl.errors import ConfigError, did_you_mean
from agentrl.tasks import Task

Source = Literal["generated", "official"]
Backend = Literal["native", "textworld"]
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
        backend: Backend = "native",
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
            backend: `textworld` plays on the original engine (extra `alfworld`): the same words, a
                thousand times slower, in worker processes, without snapshots.
            banner: Keep the original's welcome line in the first observation.
            data: The folder with official games; by default `alfworld` in `AGENTRL_DATA`.
            split: The split that `reset` draws from when no task is named.
            max_turns: Overrides the limit of 50 turns.
            render_mode: None or "ansi".

        Raises:
            ConfigError: An option has an unknown value.
            TaskError: No such split, or its data are missing or damaged.
            MissingExtraError: The original engine is not installed.
        """
        _check("backend", backend, get_args(Backend))
        _check("source", source, get_args(Source))
        if expert is not None:
            _check("expert", expert, get_args(Expert))
        if source == "official":
            self.tasks = official_tasks(data)
        else:
            self.tasks = generated_tasks(difficulty)
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        if backend == "textworld":
            require_original()
        self._expert_name = expert
        self._banner = banner
        self._original = OriginalPlayer(source, data) if backend == "textworld" else None
        self._engine: Engine | None = None
        self._expert: SearchExpert | Planner | None = None
        self._rng = np.random.default_rng(0)

    @classmethod
    def blocks(cls, **options: Any) -> bool:
        """Return True for the original engine: slow, and not to be used from several threads."""
        return options.get("backend") == "textworld"

    @classmethod
    def panels(cls) -> Mapping[str, int]:
        """Return the official splits that `AGENTRL_DATA` holds, named by their content."""
        return named_panels()

    @property
    def engine(self) -> Engine:
        """Return the running game; with the backend `textworld` only what a planner knows of it."""
        assert self._engine is not None, "call reset first"
        return self._engine

    @property
    def player(self) -> Engine | OriginalPlayer:
        """Return the engine that decides what happens."""
        return self._original or self.engine

    def on_reset(self, task: Task, rng: np.random.Generator) -> str:
        """Start a game."""
        game: Game = task.data
        self._engine = Engine(game)
        if self._original is not None:
            self._original.start(task)
        introduction = self.player.introduction()
        self._rng = rng
        if self._expert_name == "search":
            self._expert = SearchExpert(introduction, rng, phrases=game.phrases)
        elif self._expert_name == "planner":
            self._expert = Planner(self._engine)
        return introduction if self._banner else introduction.removeprefix(f"{BANNER}\n\n")

    def on_step(self, action: str) -> Step:
        """Carry out a command."""
        player = self.player
        meaning = player.understand(action)
        feedback = player.step(action)
        if self._original is not None and self._expert_name == "planner":
            self.engine.step(action)
        if self._expert is not None:
            self._expert.observe(action, feedback)
        if player.won:
            return self.success(feedback)
        return self.invalid(feedback) if meaning is None else self.observe(feedback)

    def admissible_actions(self) -> list[str]:
        """Return the commands that mean something now, sorted."""
        return list(self.player.admissible())

    def state_key(self) -> str:
        """Return text that is equal exactly when the game and the situation are equal."""
        return self.player.state_key()

    def expert_action(self) -> str | None:
        """Return what the chosen expert would do now."""
        return self._expert.act() if self._expert is not None else None

    def snapshot_state(self) -> Any:
        """Return the game's situation and what the expert remembers."""
        if self._original is not None:
            raise NotImplementedError(
                "ALFWorld's backend 'textworld' keeps a game inside its library and cannot take "
                "snapshots; use backend='native', which plays the same"
            )
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

    def close(self) -> None:
        """Hand the original engine back."""
        if self._original is not None:
            self._original.close()


def _check(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"unknown ALFWorld {option} {value!r}; {did_you_mean(str(value), known)}")
