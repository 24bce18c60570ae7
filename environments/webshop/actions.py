"""What an action says: the words `search[…]` and `click[…]`, read as the original reads them."""

from __future__ import annotations

from typing import NamedTuple


class Action(NamedTuple):
    """An action that has the right form."""

    name: str
    """What stands before the bracket; only `search` and `click` mean anything."""
    argument: str
    """What stands in the brackets, lower case."""


def read_action(text: str) -> Action | None:
    r"""Return what an action says, or None where it has no `name[argument]`.

    The original matches `(.+)\[(.+)\]` greedily at the start of the text. The same answer is found
    here in time linear in the length: only the first line counts, the name ends at the last `[`
    that some `]` follows with something in between, and the argument at the last `]`.
    """
    line = text.partition("\n")[0]
    end = line.rfind("]")
    start = line.rfind("[", 1, max(end - 1, 1))
    if start < 1:
        return None
    return Action(line[:start], line[start + 1 : end].lower())


def search(words: str) -> str:
    """Return the action that searches for `words`."""
    return f"search[{words}]"


def click(control: str) -> str:
    """Return the action that clicks a control, whatever its case."""
    return f"click[{control}]"
