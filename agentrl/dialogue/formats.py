"""Action formats: how a model is asked for an action, and how its answer is read.

A format is any object with the four members of `ActionFormat`; pass one to `build_dialogue`, or
put its maker into `FORMATS`. Parsing never raises and is linear in the length of the text: it
reads whatever a model writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from agentrl.errors import ConfigError

Parsed = tuple[str | None, str | None]
"""The action, or None and what to tell the model."""


class ActionFormat(Protocol):
    """How actions are asked for and written."""

    @property
    def instructions(self) -> str:
        """The system prompt where the configuration names none."""
        ...

    def decorate(self, observation: str, info: Mapping[str, Any]) -> str:
        """Return the observation as the model is shown it."""
        ...

    def parse(self, text: str, info: Mapping[str, Any]) -> Parsed:
        """Return `(action, None)`, or `(None, problem)`; never raise."""
        ...

    def choices(self, info: Mapping[str, Any]) -> Mapping[str, str] | None:
        """Return what may be said and the action each text means; None for no restriction."""
        ...


@runtime_checkable
class WritesActions(Protocol):
    """A format that can say how a completion gives an action."""

    def write(self, action: str) -> str:
        """Return a completion from which `parse` reads `action`."""
        ...


_THOUGHT = "Now there's enough information to answer."
"""What is thought where a format asks for a thought; the words of the IGPO paper."""


class _Free:
    """A format that shows observations as they are and restricts nothing."""

    def decorate(self, observation: str, info: Mapping[str, Any]) -> str:
        """Return the observation unchanged."""
        return observation

    def choices(self, info: Mapping[str, Any]) -> Mapping[str, str] | None:
        """Return None: any text may be sampled."""
        return None


@dataclass(frozen=True, slots=True)
class Plain(_Free):
    """A bare line: the first line that is not empty is the action."""

    instructions: str = (
        "You act in a text world. Each message says what you observe. "
        "Answer with one line: the action to take, and nothing else."
    )

    def parse(self, text: str, info: Mapping[str, Any]) -> Parsed:
        """Return the first line that is not empty."""
        line = _first_line(_after_thinking(text))
        return (line, None) if line else (None, "Your answer was empty. Answer with one action.")

    def write(self, action: str) -> str:
        """Return the action."""
        return action


_ACTION_LINE = re.compile(
    r"^[ \t*]{0,8}action(?: ?\d{1,4})? ?\**:\**", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class React(_Free):
    """`Thought: …` then `Action: …`; the first action counts, what follows is imagined."""

    instructions: str = (
        "You act in a text world. Each message says what you observe. Answer in two lines:\n"
        "Thought: your reasoning, in a sentence or two\n"
        "Action: the action to take"
    )

    def parse(self, text: str, info: Mapping[str, Any]) -> Parsed:
        """Return what follows the first `Action:`."""
        spoken = _after_thinking(text)
        found = _ACTION_LINE.search(spoken)
        position = found.end() if found else _after(spoken, "Action:")
        if position < 0:
            return None, "Your answer had no action. End it with a line 'Action: …'."
        line = _first_line(spoken[position:])
        return (
            (line, None) if line else (None, "Nothing followed 'Action:'. Name the action there.")
        )

    def write(self, action: str) -> str:
        """Return a thought and the action."""
        return f"Thought: {_THOUGHT}\nAction: {action}"


@dataclass(frozen=True, slots=True)
class Xml(_Free):
    """`<think>…</think><action>…</action>` with exactly one action."""

    instructions: str = (
        "You act in a text world. Each message says what you observe. "
        "Think first, then act. Answer as:\n"
        "<think>your reasoning</think><action>the action to take</action>"
    )

    def parse(self, text: str, info: Mapping[str, Any]) -> Parsed:
        """Return what stands in the one action tag."""
        spoken = _after_thinking(text)
        if not spoken and text.strip():
            return None, "Nothing followed your thoughts. Close them with </think>, then act."
        opened, closed = spoken.count("<action>"), spoken.count("</action>")
        if opened != 1 or closed != 1:
            return None, (
                f"Your answer had {opened} <action> and {closed} </action>. "
                "Write exactly one <action>…</action>."
            )
        action = spoken.partition("<action>")[2].partition("</action>")
        if not action[1] or not action[0].strip():
            return (
                None,
                "The action tag was empty. Write the action between <action> and </action>.",
            )
        return action[0].strip(), None

    def write(self, action: str) -> str:
        """Return a thought and the action in their tags."""
        return f"<think>{_THOUGHT}</think><action>{action}</action>"


_NUMBERED = re.compile(r"\(?#?(\d{1,6})(?:[.):]+|$)[ \t]*")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the admissible actions, by text or by number.

    Attributes:
        listed: Whether the prompt lists the actions.
        restrict: Whether decoding is restricted to them.
        numbered: Whether a restricted answer is a number in the list instead of an action's text:
            one or two ids, however long the action, and nothing to copy.
    """

    listed: bool = True
    restrict: bool = False
    numbered: bool = False

    @property
    def instructions(self) -> str:
        """The system prompt where the configuration names none."""
        how = (
            "Each message says what you observe and lists the actions you can take. "
            "Answer with one of them, by its text or its number, and nothing else."
            if self.listed
            else "Each message says what you observe. Answer with one action, and nothing else."
        )
        return f"You act in a text world. {how}"

    def decorate(self, observation: str, info: Mapping[str, Any]) -> str:
        """Return the observation followed by the numbered actions."""
        actions = _admissible(info)
        if not self.listed or not actions:
            return observation
        lines = "\n".join(f"{number}. {action}" for number, action in enumerate(actions, 1))
        return f"{observation}\n\nActions:\n{lines}"

    def parse(self, text: str, info: Mapping[str, Any]) -> Parsed:
        """Return the admissible action that the first line names."""
        line = _first_line(_after_thinking(text))
        actions = _admissible(info)
        if not line or not actions:
            return (line, None) if line else (None, "Your answer was empty. Name one action.")
        action = self._find(line, actions)
        if action is not None:
            return action, None
        return None, f"{line[:80]!r} is not one of the actions you can take now. Name one of them."

    def choices(self, info: Mapping[str, Any]) -> Mapping[str, str] | None:
        """Return the admissible actions where decoding is restricted."""
        actions = _admissible(info)
        if not self.restrict or not actions:
            return None
        if self.numbered:
            return {str(number): action for number, action in enumerate(actions, 1)}
        return {action: action for action in actions}

    def write(self, action: str) -> str:
        """Return the action's text.

        Raises:
            ConfigError: Answers are numbers in a list that changes from turn to turn.
        """
        if self.numbered:
            raise ConfigError(
                "dialogue.restrict=number gives answers as numbers, which say nothing by "
                "themselves; use dialogue.restrict=true, or set answer.template"
            )
        return action

    def _find(self, line: str, actions: Sequence[str]) -> str | None:
        by_text = {_plain(action): action for action in reversed(actions)}
        wanted = _plain(line)
        action = by_text.get(wanted) or by_text.get(wanted.strip("\"'`*. "))
        if action is not None or not self.listed:
            return action
        number = _NUMBERED.match(line)
        if number is None:
            return None
        index, rest = int(number.group(1)), _plain(line[number.end() :])
        if not 1 <= index <= len(actions):
            return None
        return actions[index - 1] if not rest or rest == _plain(actions[index - 1]) else None


def _choice(restrict: bool | str) -> Choice:
    numbered = restrict == "number"
    return Choice(listed=numbered or not restrict, restrict=bool(restrict), numbered=numbered)


FORMATS: dict[str, Callable[[bool | str], ActionFormat]] = {
    "plain": lambda restrict: Plain(),
    "react": lambda restrict: React(),
    "xml": lambda restrict: Xml(),
    "choice": _choice,
}
"""Maker of each format, given `DialogueConfig.restrict`."""


def _admissible(info: Mapping[str, Any]) -> Sequence[str]:
    actions = info.get("admissible_actions")
    return actions if actions is not None else ()


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _after(text: str, mark: str) -> int:
    position = text.find(mark)
    return position + len(mark) if position >= 0 else -1


def _after_thinking(text: str) -> str:
    """Return what follows the last thought; nothing where a thought was never closed."""
    if "</think>" in text:
        return text.rpartition("</think>")[2]
    return "" if text.lstrip().startswith("<think>") else text


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].partition("\r")[0].strip()
