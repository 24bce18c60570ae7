"""The rendering of agentrl's own small policies: three marks and plain text.

    <|observation|> text <|action|> sampled text <|end|> <|observation|> …

A tokenizer asks for it with `"agentrl_codec": "line"` in `tokenizer_config.json`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from agentrl.dialogue.codec import BaseCodec
from agentrl.dialogue.text import frozen
from agentrl.engines.base import Ids
from agentrl.errors import ModelError

OBSERVATION, ACTION, END = "<|observation|>", "<|action|>", "<|end|>"


class LineCodec(BaseCodec):
    """Renders observations and actions between three special tokens."""

    takes_instructions = False

    def __init__(self, tokenizer: Any) -> None:
        """Look up the marks.

        Raises:
            ModelError: A mark is missing or is not a special token.
        """
        super().__init__(tokenizer)
        self._observation, self._action, self._end = (
            self._mark(tokenizer, mark) for mark in (OBSERVATION, ACTION, END)
        )
        self.stop_ids = (self._end,)
        self._block = lru_cache(8192)(self._render_block)

    def start(self, system: str | None, observation: str) -> Ids:
        """Return a first prompt; a system prompt stands before the first mark as plain text."""
        block = self._block_of(observation)
        return frozen(np.concatenate((self.encode(system), block))) if system else block

    def extend(self, prompt_ids: Ids, response_ids: Ids, observation: str) -> Ids:
        """Return what follows a response; see `Codec.extend`."""
        block = self._block_of(observation)
        if len(response_ids) and response_ids[-1] == self._end:
            return block
        return frozen([self._end, *block])

    def _block_of(self, observation: str) -> Ids:
        if len(observation) > 4096:
            return self._render_block(observation)
        return self._block(observation)

    def _render_block(self, observation: str) -> Ids:
        return frozen([self._observation, *self.encode(observation), self._action])

    def _mark(self, tokenizer: Any, mark: str) -> int:
        number = tokenizer.convert_tokens_to_ids(mark)
        if not isinstance(number, int) or number == getattr(tokenizer, "unk_token_id", None):
            raise ModelError(
                f"{tokenizer.name_or_path}: the line codec needs the token {mark!r}; "
                "add it to the tokenizer's additional_special_tokens"
            )
        if number in self.encode(f"a {mark} b"):
            raise ModelError(
                f"{tokenizer.name_or_path}: the token {mark!r} is not marked special, so text "
                "could forge it; add it to the tokenizer's additional_special_tokens"
            )
        return number
