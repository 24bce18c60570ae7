"""Token-in, token-out rendering: observations become ids, sampled ids are only ever appended.

    start(system, o1)              a whole first prompt, ready for the model to answer
    extend(prompt, response, o2)   what follows the sampled response up to the next answer
    render(system, turns, o)       a fresh prompt from kept turns, for windowed memory

`start` and `extend` give, for canonically encoded responses, exactly the ids that the chat
template gives for the same conversation. Sampled ids are never decoded and encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from agentrl.dialogue.text import TextCoder
from agentrl.engines.base import Ids
from agentrl.errors import ModelError, did_you_mean

PastTurn = tuple[str, Ids]
"""An observation and the ids sampled in answer to it."""


class Codec(Protocol):
    """Renders conversations for one tokenizer."""

    stop_ids: tuple[int, ...]
    """Sampling any of these ends a response; the first is the one that the template closes with."""
    takes_instructions: bool
    """Whether the model behind the tokenizer reads a format's instructions."""

    @property
    def eos(self) -> int:
        """The id that ends a response."""
        ...

    def start(self, system: str | None, observation: str) -> Ids:
        """Return a first prompt, generation prompt included, shape [length], read-only."""
        ...

    def extend(self, prompt_ids: Ids, response_ids: Ids, observation: str) -> Ids:
        """Return the ids to append to `prompt_ids + response_ids`, shape [length], read-only.

        They close the turn where that was not sampled, and hold the observation and the
        generation prompt.
        """
        ...

    def render(self, system: str | None, turns: Sequence[PastTurn], observation: str) -> Ids:
        """Return a fresh prompt that replays `turns` with their sampled ids, shape [length]."""
        ...

    def encode(self, text: str) -> Ids:
        """Return the ids of plain text, never a control id, shape [length], read-only."""
        ...

    def decode(self, ids: Ids) -> str:
        """Return the text of ids without stop and other special ids."""
        ...


class BaseCodec:
    """What all codecs share: text in both directions, and replay by `start` and `extend`."""

    takes_instructions = True
    stop_ids: tuple[int, ...] = ()

    def __init__(self, tokenizer: Any) -> None:
        """Prepare the encoding of plain text."""
        self.text = TextCoder(tokenizer)

    @property
    def eos(self) -> int:
        """The id that ends a response."""
        return self.stop_ids[0]

    def encode(self, text: str) -> Ids:
        """Return the ids of plain text, never a control id, shape [length], read-only."""
        return self.text.encode(text)

    def decode(self, ids: Ids) -> str:
        """Return the text of ids without stop and other special ids."""
        if len(ids) and ids[-1] in self.stop_ids:
            ids = ids[:-1]
        return self.text.decode(ids)

    def start(self, system: str | None, observation: str) -> Ids:
        """Return a first prompt; see `Codec.start`."""
        raise NotImplementedError

    def extend(self, prompt_ids: Ids, response_ids: Ids, observation: str) -> Ids:
        """Return what follows a response; see `Codec.extend`."""
        raise NotImplementedError

    def render(self, system: str | None, turns: Sequence[PastTurn], observation: str) -> Ids:
        """Return a fresh prompt that replays `turns` with their sampled ids, shape [length]."""
        if not turns:
            return self.start(system, observation)
        ids = self.start(system, turns[0][0])
        following = [past for past, _ in turns[1:]] + [observation]
        for (_, response), text in zip(turns, following, strict=True):
            ids = np.concatenate((ids, response, self.extend(ids, response, text)))
        return ids


def load_codec(tokenizer: Any) -> Codec:
    """Return the codec of a Hugging Face tokenizer.

    A tokenizer whose `tokenizer_config.json` says `"agentrl_codec": "line"` gets `LineCodec`; one
    with a chat template, or of a family that `renderers` knows, gets `ChatCodec`.

    Raises:
        ModelError: The tokenizer declares neither, or its template cannot be used.
        MissingExtraError: `renderers` is not installed.
    """
    from agentrl.dialogue.chat import ChatCodec, knows
    from agentrl.dialogue.line import LineCodec

    name = getattr(tokenizer, "name_or_path", "") or "the tokenizer"
    declared = (getattr(tokenizer, "init_kwargs", None) or {}).get("agentrl_codec")
    if declared == "line":
        return LineCodec(tokenizer)
    if declared is not None:
        raise ModelError(
            f"{name} declares agentrl_codec {declared!r}; {did_you_mean(str(declared), ['line'])}"
        )
    if getattr(tokenizer, "chat_template", None) or knows(tokenizer):
        return ChatCodec(tokenizer)
    raise ModelError(
        f"{name} has no chat template, so there is no way to show it observations; "
        "use an instruction-tuned model, or put a chat_template into its tokenizer_config.json"
    )
