"""Which commands may reach the interpreter.

The interpreter is a C program with commands of its own that write files, quit, or repeat what was
done; its reader chains sentences and remembers words; and bracketed text would be taken for the
names of actions. All of this is answered here, in the game's own words for what it does not know.
"""

from __future__ import annotations

import re

NOT_UNDERSTOOD = "That's not a verb I recognise."

LONGEST = 120
"""Characters of a command; the interpreter's own buffer holds 198."""

_READABLE = re.compile(r"[ -~]*")
_STRUCTURE = frozenset("[]<>.;\\")
"""Marks that mean something to a reader; at a backslash Frotz asks the keyboard and waits."""
_WORD = re.compile(r"[^ ,\"]+")
_SIGNIFICANT = 9
"""Letters of a word that the interpreter looks at."""

_FORBIDDEN = (
    # They write or read files, or end the program.
    "save", "restore", "script", "transcript", "noscript", "unscript", "record", "recording",
    "replay", "commands", "quit", "q", "restart", "undo",
    # They depend on what was said before.
    "again", "g", "oops", "o", "it", "them", "him", "her", "then",
    # They are TextWorld's own switches.
    "tw-trace-actions", "tw-extra-infos", "tw-print", "restrict", "enable", "disable",
    "print_state",
)  # fmt: skip
_STEMS = frozenset(word[:_SIGNIFICANT] for word in _FORBIDDEN)


def is_fit(command: str) -> bool:
    """Return whether the interpreter may read a command."""
    if len(command) > LONGEST or not _READABLE.fullmatch(command):
        return False
    if not _STRUCTURE.isdisjoint(command):
        return False
    return all(word[:_SIGNIFICANT] not in _STEMS for word in _WORD.findall(command.lower()))
