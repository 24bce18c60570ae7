"""The builder's process: generates and compiles games on request, one line of JSON each way.

A request names a recipe, a split, an index and, where the game is to be compiled, a folder. The
answer is `content`, `attempt` and `seconds`, or `error`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from textworld.generator import CouldNotCompileGameError, QuestGenerationError

from agentrl.environments.textworld.challenges import Recipe, recipe_of
from agentrl.environments.textworld.generate import (
    compile_into,
    content_of,
    drafting,
    generate,
    parse_rules_once,
)

SHARE = {"train": (2, 3), "valid": (0,), "test": (1,)}
"""The remainders of a game's content hash, divided by four, that belong to each split."""

_ATTEMPTS = 200

_IDLE_SECONDS = 60.0
"""After which the process ends itself; the next request starts another."""


def find(recipe: Recipe, split: str, index: int) -> tuple[str, int]:
    """Return content and attempt of a task's game: the first attempt that belongs to the split.

    Raises:
        LookupError: None does.
    """
    failure = "its games all belong to other splits"
    for attempt in range(_ATTEMPTS):
        try:
            with drafting():
                game = generate(recipe, f"{split}/{index}/{attempt}", split)
        except QuestGenerationError as error:
            failure = " ".join(str(error).split())
            continue
        content = content_of(game)
        if int(content, 16) % 4 in SHARE[split]:
            return content, attempt
    raise LookupError(f"{_ATTEMPTS} attempts gave no game for this split: {failure}")


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the reply to a request."""
    split, index, folder = request["split"], request["index"], request["folder"]
    try:
        recipe = recipe_of(**request["recipe"])
        content, attempt = find(recipe, split, index)
        if folder is not None:
            game = generate(recipe, f"{split}/{index}/{attempt}", split)
            compile_into(game, Path(folder))
    except CouldNotCompileGameError as error:
        return {"error": f"the compiler refused it: {last_words(str(error))}"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {last_words(str(error))}"}
    return {"content": content, "attempt": attempt}


def last_words(report: str) -> str:
    """Return what a compiler said last, on one line, without TextWorld's own advice."""
    lines = [line.strip() for line in report.splitlines()]
    told = [line for line in lines if line and line.strip("=") and not line.startswith("***")]
    return " / ".join(told[-4:])[-400:] or "nothing was said"


def main(parent: int) -> None:
    """Serve until standard input is closed, nobody asks for a while, or the asker is gone.

    Args:
        parent: The process id of the one that asks.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # What TextWorld prints must not get between the answers.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parse_rules_once()
    while select.select([sys.stdin], [], [], _IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        replies.write(json.dumps(answer(json.loads(line))) + "\n")
        replies.flush()


def _watch(parent: int) -> None:
    """End this process, even amid a long search, once nobody waits for it."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
