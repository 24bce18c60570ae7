"""What an action says: `search[words]` or `answer[words]`."""

from __future__ import annotations

from typing import Literal, NamedTuple

Verb = Literal["search", "answer"]


class Action(NamedTuple):
    """An action that has the right form."""

    verb: Verb
    argument: str
    """What stands in the brackets, never empty."""


def read_action(text: str) -> Action | None:
    """Return what an action says, or None where it is none.

    One action is one line: a verb in any case, a bracket, words, and the bracket that closes it at
    the end. Brackets among the words must pair up, so that `search[a] answer[b]`, which is two
    actions, is none. Linear in the length.
    """
    line = text.strip()
    name, bracket, rest = line.partition("[")
    verb = name.strip().lower()
    if not bracket or not rest.endswith("]") or verb not in ("search", "answer"):
        return None
    argument = rest[:-1]
    if "\n" in argument or not _is_paired(argument):
        return None
    argument = argument.strip()
    return Action("search" if verb == "search" else "answer", argument) if argument else None


def search(words: str) -> str:
    """Return the action that searches for `words`."""
    return f"search[{words}]"


def answer(words: str) -> str:
    """Return the action that answers with `words`."""
    return f"answer[{words}]"


def _is_paired(text: str) -> bool:
    """Return whether each closing bracket follows an opening one of its own."""
    if "]" not in text and "[" not in text:
        return True
    depth = 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            return False
    return depth == 0
