"""The contract between dialogue and collector: prompts out, completions in.

One `Dialogue` lives as long as one episode. The collector's loop is

    dialogue.observe(observation, info)
    prompt = dialogue.prompt()                  # None: the context or token budget is used up
    completion = await engine.generate(...)
    reply = dialogue.receive(completion)        # reply.action goes to the environment

History is extended by appending ids; sampled text is never rendered again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agentrl.engines.base import Completion, Ids
from agentrl.trajectory import Allowed


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What the model reads before it acts."""

    ids: Ids
    """The whole prompt."""
    new_ids: Ids
    """The part that no earlier turn of the segment holds: what `Turn.prompt_ids` records."""
    starts_segment: bool
    """Whether `ids` does not extend the previous prompt and response."""
    max_tokens: int
    """How many tokens may be sampled: per-turn, per-episode and context limits together."""
    stop_ids: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...] | None = None
    """The id sequences that decoding is restricted to, or None."""


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """A completion as the environment gets it."""

    action: str
    """The parsed action; empty where nothing could be parsed."""
    valid: bool
    """Whether the completion could be parsed."""
    text: str
    """The completion as text, for people."""
    problem: str | None = None
    """What to tell the model when `valid` is False; it stands in for the observation."""
    allowed: Allowed | None = None
    """The ids each token was chosen from, where decoding was restricted."""


class Dialogue(Protocol):
    """One episode's conversation."""

    def observe(self, observation: str, info: Mapping[str, Any]) -> None:
        """Take in what the environment said."""
        ...

    def prompt(self) -> Prompt | None:
        """Return the next prompt, or None when context or token budget are used up."""
        ...

    def receive(self, completion: Completion) -> Reply:
        """Take in what the model sampled and parse it; never raises for any text."""
        ...


class DialogueFactory(Protocol):
    """Makes a dialogue for each episode; shared by all episodes of a run."""

    def __call__(self) -> Dialogue:
        """Start an episode's dialogue."""
        ...
