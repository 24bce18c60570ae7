"""Conversations for models that take messages and return text: ids are bytes and marks.

    <system> text <user> observation <assistant> reply <end> <user> observation <assistant>

Text is UTF-8, one id a byte, so no text can forge a mark and nothing of it is lost on the way.
`messages` turns such ids back into what a chat endpoint takes.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from agentrl.dialogue.codec import BaseCodec
from agentrl.dialogue.text import frozen
from agentrl.engines.base import Ids
from agentrl.errors import ConfigError

Message = dict[str, str]
"""`role` and `content`."""

SYSTEM, USER, ASSISTANT, END = 256, 257, 258, 259
VOCABULARY = 260
_ROLES = {SYSTEM: "system", USER: "user", ASSISTANT: "assistant", END: "user"}


class MessageCodec(BaseCodec):
    """Renders conversations reversibly; lengths in ids are lengths in bytes."""

    stop_ids = (END,)

    def __init__(self) -> None:
        """There is nothing to learn from a tokenizer."""

    def start(self, system: str | None, observation: str) -> Ids:
        """Return a first prompt; see `Codec.start`."""
        beginning = [SYSTEM, *_bytes(system)] if system else []
        return frozen([*beginning, USER, *_bytes(observation), ASSISTANT])

    def extend(self, prompt_ids: Ids, response_ids: Ids, observation: str) -> Ids:
        """Return what follows a response; see `Codec.extend`."""
        closing = [] if len(response_ids) and response_ids[-1] == END else [END]
        return frozen([*closing, USER, *_bytes(observation), ASSISTANT])

    def encode(self, text: str) -> Ids:
        """Return the bytes of a text, shape [length], read-only."""
        return frozen(np.frombuffer(_bytes(text), np.uint8))

    def decode(self, ids: Ids) -> str:
        """Return the text of ids without marks."""
        array = np.asarray(ids)
        return _text(array[array < SYSTEM])


def messages(ids: Ids) -> list[Message]:
    """Return the messages that a prompt stands for.

    An empty reply is left out, which many endpoints refuse to read; what stood around it becomes
    one message. Ids before the first mark are the user's.

    Raises:
        ConfigError: An id is neither a byte nor a mark.
    """
    array = np.asarray(ids)
    if len(array) and not 0 <= array.min() <= array.max() < VOCABULARY:
        raise ConfigError(
            "the prompt holds ids that are no text; render it with the engine's own codec"
        )
    places = [-1, *np.flatnonzero(array >= SYSTEM).tolist(), len(array)]
    found: list[Message] = []
    for begin, end in pairwise(places):
        mark = int(array[begin]) if begin >= 0 else END
        role, text = _ROLES[mark], _text(array[begin + 1 : end])
        if mark in (ASSISTANT, END) and not text.strip():
            continue
        if found and found[-1]["role"] == role:
            found[-1]["content"] += f"\n\n{text}"
        else:
            found.append({"role": role, "content": text})
    return found


def _bytes(text: str) -> bytes:
    # Halves of surrogate pairs have no encoding.
    return text.encode("utf-8", "replace")


def _text(ids: Ids) -> str:
    return ids.astype(np.uint8).tobytes().decode("utf-8", "replace")
