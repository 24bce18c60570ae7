"""One episode's conversation, token in and token out.

Full memory appends to one growing buffer, so that a turn costs its new ids only; windowed memory
renders each prompt fresh from the last turns, with the ids that were sampled in them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agentrl.dialogue.base import Prompt, Reply
from agentrl.dialogue.choices import ChoiceEncoder, Choices, Restriction, allowed_ids
from agentrl.dialogue.codec import Codec, PastTurn
from agentrl.dialogue.formats import ActionFormat
from agentrl.engines.base import Completion, Ids
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What all conversations of a run share."""

    codec: Codec
    restrict: ChoiceEncoder
    format: ActionFormat
    system: str | None
    memory: Literal["full", "window"]
    window: int
    """Answered turns that windowed memory keeps."""
    max_turn_tokens: int
    max_episode_tokens: int | None
    context_length: int
    needs_actions: bool = False
    """Whether the environment must list its admissible actions."""


class Conversation:
    """Implements `agentrl.dialogue.base.Dialogue`.

    Attributes:
        overflow: Why `prompt` returned None, with the lengths; None while it has not.
        sampled: Tokens sampled so far.
    """

    __slots__ = (
        "_answered", "_buffer", "_first", "_info", "_kept", "_length", "_pending", "_prompt",
        "_restriction", "_rules", "_said", "_tail", "overflow", "sampled",
    )  # fmt: skip

    def __init__(self, rules: Rules) -> None:
        """Start an episode."""
        self._rules = rules
        self._buffer: Ids = np.empty(min(rules.context_length, 512), np.int32)
        self._length = 0
        self._tail: Ids = self._buffer[:0]
        self._first: str | None = None
        self._kept: deque[PastTurn] = deque(maxlen=rules.window)
        self._pending: str | None = None
        self._info: Mapping[str, Any] = {}
        self._prompt: Prompt | None = None
        self._restriction: Restriction | None = None
        self._said: Mapping[str, str] = {}
        self._answered = 0
        self.overflow: str | None = None
        self.sampled = 0

    def observe(self, observation: str, info: Mapping[str, Any]) -> None:
        """Take in what the environment said; several observations in a row become one.

        Raises:
            ConfigError: The format needs admissible actions and the environment lists none.
        """
        if self._first is None:
            self._first = observation
            if self._rules.needs_actions and info.get("admissible_actions") is None:
                raise ConfigError(
                    "dialogue.format 'choice' needs an environment that lists its admissible "
                    "actions, and this one does not; use dialogue.format=plain"
                )
        self._pending = observation if self._pending is None else f"{self._pending}\n{observation}"
        self._info = info
        self._prompt = None

    def prompt(self) -> Prompt | None:
        """Return the next prompt, or None (see `overflow`) when a budget is used up."""
        if self._prompt is None and self.overflow is None:
            self._prompt = self._build()
        return self._prompt

    def receive(self, completion: Completion) -> Reply:
        """Take in what the model sampled and parse it; never raises for any text."""
        prompt = self._prompt
        if prompt is None or self._pending is None:
            raise RuntimeError("Conversation.receive needs a prompt that was not answered yet")
        ids = np.asarray(completion.token_ids, np.int32)
        self.sampled += completion.tokens
        self._remember(ids)
        cut_after = completion.tokens if completion.finish_reason == "length" else None
        reply = self._reply(ids, prompt.choices, cut_after)
        self._pending = self._prompt = None
        return reply

    def _build(self) -> Prompt | None:
        if self._pending is None:
            raise RuntimeError("Conversation.prompt needs an observation first")
        rules = self._rules
        limit = rules.max_turn_tokens
        if rules.max_episode_tokens is not None:
            limit = min(limit, rules.max_episode_tokens - self.sampled)
            if limit < 1:
                return self._end(
                    f"the episode's {rules.max_episode_tokens} sampled tokens are used up"
                )
        shown = rules.format.decorate(self._pending, self._info)
        if rules.memory == "window":
            new = ids = self._render(shown)
            starts = True
        else:
            starts = self._length == 0
            new = self._following(shown)
            self._append(new)
            ids = self._buffer[: self._length]
            ids.setflags(write=False)
        room = rules.context_length - len(ids)
        if room < 1:
            return self._end(
                f"the prompt has {len(ids)} tokens and the context holds {rules.context_length}"
            )
        return self._limited(ids, new, starts, min(limit, room))

    def _limited(self, ids: Ids, new: Ids, starts: bool, limit: int) -> Prompt | None:
        rules = self._rules
        self._said = said = rules.format.choices(self._info) or {}
        self._restriction = restriction = rules.restrict(tuple(said)) if said else None
        choices = restriction.within(limit) if restriction is not None else None
        if choices == ():
            return self._end(f"no admissible action fits into the {limit} tokens left")
        return Prompt(ids, new, starts, limit, rules.codec.stop_ids, choices)

    def _following(self, shown: str) -> Ids:
        codec = self._rules.codec
        if self._length == 0:
            return codec.start(self._rules.system, shown)
        return codec.extend(self._buffer[: self._length], self._tail, shown)

    def _render(self, shown: str) -> Ids:
        """Return a fresh prompt; the oldest turns go where the context is too short for all."""
        rules = self._rules
        while True:
            ids = self._fresh(shown)
            if len(ids) < rules.context_length or not self._kept:
                return ids
            self._kept.popleft()

    def _fresh(self, shown: str) -> Ids:
        turns = list(self._kept)
        if self._answered > len(turns):
            # The first observation states the task: it stays when its turn has gone.
            oldest, response = turns[0] if turns else (shown, None)
            pinned = f"{self._first}\n\n{oldest}"
            if response is None:
                shown = pinned
            else:
                turns[0] = (pinned, response)
        return self._rules.codec.render(self._rules.system, turns, shown)

    def _remember(self, ids: Ids) -> None:
        assert self._pending is not None
        self._answered += 1
        if self._rules.memory == "full":
            self._append(ids)
            self._tail = ids
        else:
            self._kept.append((self._pending, ids))

    def _append(self, ids: Ids) -> None:
        end = self._length + len(ids)
        if end > len(self._buffer):
            # Earlier prompts keep looking at the old buffer, which nobody writes to any more.
            grown = np.empty(max(end, 2 * len(self._buffer)), np.int32)
            grown[: self._length] = self._buffer[: self._length]
            self._buffer = grown
        self._buffer[self._length : end] = ids
        self._length = end

    def _reply(self, ids: Ids, choices: Choices | None, cut_after: int | None) -> Reply:
        text = self._rules.codec.decode(ids)
        allowed = None
        if choices is not None and self._restriction is not None:
            chosen = self._restriction.texts.get(tuple(ids.tolist()))
            allowed = allowed_ids(choices, ids)
            if chosen is not None:
                return Reply(self._said[chosen], True, text, None, allowed)
        action, problem = self._rules.format.parse(text, self._info)
        if action is not None:
            return Reply(action, True, text, None, allowed)
        if cut_after is not None:
            problem = f"Your answer was cut off after {cut_after} tokens. {problem or ''}".rstrip()
        return Reply("", False, text, problem or "Your answer was not understood.", allowed)

    def _end(self, why: str) -> Prompt | None:
        self.overflow = why
        return None
