"""TextWorld's engine: the interpreter that plays a compiled game, and the logic that follows it.

The interpreter (Frotz, in Jericho) keeps its state in C globals, one copy of the library for each
engine here. After every command the actions that it says were carried out are repeated on
TextWorld's logical state, which knows what can be done now. Where none was, the interpreter is put
back to where it stood: a command that does nothing changes nothing, not even the clock.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from dataclasses import dataclass
from typing import Any

from agentrl.environments.textworld.commands import NOT_UNDERSTOOD, is_fit
from agentrl.environments.textworld.tasks import CompiledGame
from agentrl.environments.textworld.transcript import (
    LOST,
    WON,
    clean,
    clean_introduction,
    split_output,
)
from agentrl.errors import EnvironmentFault, MissingExtraError, TaskError

_SEED = 1
"""Of the interpreter's dice; 0 would mean the time of day."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command led to."""

    text: str
    acted: bool
    """Whether anything was done that the game's logic knows, looking included."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that changes while a game is played."""

    game: CompiledGame
    machine: tuple[Any, ...]
    """The interpreter's memory and registers."""
    progress: Any
    """TextWorld's logical state."""
    completed: tuple[bool, ...]
    score: int
    won: bool
    lost: bool


class Engine:
    """Plays one game at a time."""

    def __init__(self, *, plans: bool = False) -> None:
        """Load TextWorld.

        Args:
            plans: Follow the quests too, so that `plan` can be asked for; costs about as much
                again.

        Raises:
            MissingExtraError: TextWorld is not installed.
        """
        try:
            import jericho
            from textworld.generator.game import Game, GameProgression
            from textworld.generator.inform7 import Inform7Game
        except ImportError as error:
            package = error.name or "textworld"
            raise MissingExtraError(package, "textworld", "the TextWorld environment") from error
        self._jericho = jericho
        self._game_class, self._progress_class, self._names_class = (
            Game,
            GameProgression,
            Inform7Game,
        )
        self._plans = plans
        self._machine: Any = None
        self._names: Any = None
        self._game: Any = None
        self._compiled: CompiledGame | None = None
        self._introduction = ""
        self._initial: tuple[Any, ...] = ()
        self._start: Any = None
        self._progress: Any = None
        self._completed: list[bool] = []
        self._commands: list[str] | None = None
        self._key: str | None = None
        self.score = 0
        self.won = False
        self.lost = False

    @property
    def max_score(self) -> int:
        """The score of a game that is won."""
        return int(self._game.max_score)

    @property
    def walkthrough(self) -> list[str]:
        """The commands that the game's maker thought of."""
        return list(self._game.metadata.get("walkthrough") or ())

    def start(self, compiled: CompiledGame) -> str:
        """Start a game and return its introduction.

        Raises:
            TaskError: The compiled game is damaged.
        """
        if compiled != self._compiled:
            self._load(compiled)
        self._machine.set_state(self._initial)
        self._progress = _twin(self._start)
        self._completed = [False] * len(self._game.quests)
        self.score, self.won, self.lost = 0, False, False
        self._note_quests()
        return self._introduction

    def step(self, command: str) -> Outcome:
        """Carry out a command."""
        command = command.strip()
        if command not in self.admissible() and not is_fit(command):
            return Outcome(NOT_UNDERSTOOD, acted=False)
        before = self._machine.get_state()
        events, score, text = split_output(self._say(command))
        self.won, self.lost = WON in text, LOST in text
        acted = any([self._follow(event) for event in events])
        if acted or self.won or self.lost:
            self.score = score if score is not None else self.score
        else:
            self._machine.set_state(before)
        return Outcome(clean(text), acted)

    def admissible(self) -> list[str]:
        """Return the commands that do something now, sorted; the list is the engine's own."""
        if self._commands is None:
            actions = self._progress.valid_actions
            self._commands = sorted(set(self._names.gen_commands_from_actions(actions)))
        return self._commands

    def plan(self) -> list[str]:
        """Return commands that win from here, as TextWorld's own planner knows them."""
        policy = self._progress.winning_policy
        return list(self._names.gen_commands_from_actions(policy)) if policy else []

    def state_key(self) -> str:
        """Return a hash of game, facts, completed quests and ending (32 hex digits)."""
        if self._key is None:
            assert self._compiled is not None
            facts = sorted(map(str, self._progress.state.facts))
            parts = (self._compiled.content, facts, self._completed, self.won, self.lost)
            self._key = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
        return self._key

    def situation(self) -> Situation:
        """Return everything that `return_to` needs."""
        assert self._compiled is not None
        return Situation(
            self._compiled,
            self._machine.get_state(),
            _twin(self._progress),
            tuple(self._completed),
            self.score,
            self.won,
            self.lost,
        )

    def return_to(self, situation: Situation) -> None:
        """Go back to a situation that this or another engine was in."""
        if situation.game != self._compiled:
            self._load(situation.game)
        self._machine.set_state(situation.machine)
        self._progress = _twin(situation.progress)
        self._completed = list(situation.completed)
        self.score, self.won, self.lost = situation.score, situation.won, situation.lost
        self._commands = self._key = None

    def close(self) -> None:
        """Let go of the interpreter; the engine can be started again."""
        if self._machine is not None:
            self._machine.close()
        self._machine = self._compiled = None

    def _load(self, compiled: CompiledGame) -> None:
        """Read a game from its folder into the interpreter and the logic."""
        self._compiled = None
        story = str(compiled.folder / "game.z8")
        try:
            self._game = self._game_class.load(str(compiled.folder / "game.json"))
            self._names = self._names_class(self._game)
            self._start = self._progress_class(self._game, track_quests=self._plans)
            self._read_story(story)
        except Exception as error:
            raise TaskError(
                f"the compiled game in {compiled.folder} is damaged "
                f"({type(error).__name__}: {error}); remove that folder"
            ) from error
        text, _ = self._machine.reset()
        self._introduction = clean_introduction(text)
        self._say("tw-extra-infos score")
        self._say("tw-trace-actions")
        self._initial = self._machine.get_state()
        self._compiled = compiled

    def _read_story(self, story: str) -> None:
        with warnings.catch_warnings():
            # Jericho knows no vocabulary of these games, which it says for each of them.
            warnings.simplefilter("ignore")
            if self._machine is None:
                self._machine = self._jericho.FrotzEnv(story, seed=_SEED)
                return
            # Jericho frees a game's memory only here, and keeps every story it has read.
            self._machine.close()
            self._machine._cache.clear()
            self._machine.load(story, _SEED)

    def _say(self, command: str) -> str:
        """Return the interpreter's raw answer.

        Raises:
            EnvironmentFault: It broke down.
        """
        try:
            text, _, _, _ = self._machine.step(command)
        except Exception as error:
            raise EnvironmentFault(f"the interpreter failed on {command!r}: {error}") from error
        return str(text)

    def _follow(self, event: str) -> bool:
        """Repeat an action of the interpreter on the logical state; tell whether it is known."""
        action = self._names.detect_action(event, self._progress.valid_actions)
        if action is None:
            return False
        self._progress.update(action)
        self._note_quests()
        return True

    def _note_quests(self) -> None:
        """Note which quests have been completed: each counts once, so it is part of the past."""
        state = self._progress.state
        for number, quest in enumerate(self._game.quests):
            if not self._completed[number]:
                self._completed[number] = any(
                    state.is_applicable(event.condition) for event in quest.win_events
                )
        self._commands = self._key = None


def _twin(progress: Any) -> Any:
    """Return a copy that goes its own way; TextWorld's own copying searches for actions anew."""
    twin = copy.copy(progress)
    twin.state = progress.state.copy()
    twin.quest_progressions = [quest.copy() for quest in progress.quest_progressions]
    return twin
