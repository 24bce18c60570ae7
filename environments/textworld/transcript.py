"""What the interpreter prints, taken apart: events, score and the text meant for the player.

The interpreter's output holds the name of each action in brackets, the score between tags, and at
the end a prompt with a status line. The text for the player is what is left after these rules:

1. The banner above the objective goes.
2. Bracketed names, score tags, prompt and status line go.
3. After `*** The End ***` or `*** You lost! ***` nothing follows: the original adds how many turns
   it took, which depends on the past, and offers commands that are none here.
4. Lines end without blanks, and of several empty lines one stays; none begins or ends the text.
"""

from __future__ import annotations

import re

WON = "*** The End ***"
LOST = "*** You lost! ***"

_EVENT = re.compile(r"\[[^]]+\]\n?")
_SUCCEEDED = " - succeeded"
_TAG = re.compile(r"<(score|moves)>\n(.*?)</\1>", re.DOTALL)
_STATUS = re.compile(r"\n?>?[ ]+-= [^\n]*=-[^\n]*\Z")
_PROMPT = re.compile(r"\n>[ ]*\Z")
_EMPTY_LINES = re.compile(r"\n{3,}")
_BLANKS = re.compile(r"[ \t]+\n")


def split_output(raw: str) -> tuple[list[str], int | None, str]:
    """Return the actions that succeeded, the score where it is told, and the rest of the text."""
    score = None
    for name, value in _TAG.findall(raw):
        if name == "score" and value.strip():
            score = int(value.split()[0])
    text = _TAG.sub("", raw)
    names = [found.strip()[1:-1] for found in _EVENT.findall(text)]
    # A name with parentheses is that of an action within an action.
    events = [
        name[: name.index(_SUCCEEDED)]
        for name in names
        if _SUCCEEDED in name and "(" not in name and ")" not in name
    ]
    return events, score, _EVENT.sub("", text)


def clean_introduction(text: str) -> str:
    """Return the objective and the first room's description."""
    lines = text.split("\n")
    art = max((number for number, line in enumerate(lines) if "$$" in line), default=-1)
    return clean("\n".join(lines[art + 1 :]))


def clean(text: str) -> str:
    """Return the text that the player reads."""
    text = _PROMPT.sub("", _STATUS.sub("", text))
    for ending in (WON, LOST):
        before, found, _ = text.partition(ending)
        if found:
            text = f"{before.rstrip()}\n\n{ending}"
    return _EMPTY_LINES.sub("\n\n", _BLANKS.sub("\n", f"{text}\n")).strip()
