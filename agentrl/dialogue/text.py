"""Text to ids and back, without ever producing a control id from text.

Observations and model output are hostile: `<|im_end|>` written by an environment must reach the
model as characters. The tokenizer's backend is copied once and told to read special tokens as
plain text; repeated texts come from bounded caches.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np

from agentrl.dialogue.words import word_encoder
from agentrl.engines.base import Ids

_CACHED_TEXTS = 8192
_LONGEST_CACHED = 4096


class TextCoder:
    """Encodes plain text and decodes sampled ids for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Copy the backend of a Hugging Face tokenizer; a slow tokenizer is used as it is."""
        self._tokenizer = tokenizer
        self._backend = _plain_backend(tokenizer)
        self._words = word_encoder(self._backend) if self._backend is not None else None
        self._decoder: Any = self._backend if self._backend is not None else tokenizer
        self._cached_encode = lru_cache(_CACHED_TEXTS)(self._encode)
        self._cached_decode = lru_cache(_CACHED_TEXTS)(self._decode)

    def encode(self, text: str) -> Ids:
        """Return the ids of `text` read as plain characters, shape [length], read-only."""
        return self._cached_encode(text) if len(text) <= _LONGEST_CACHED else self._encode(text)

    def decode(self, ids: Ids) -> str:
        """Return the text of `ids` without special tokens; unknown ids are skipped."""
        if len(ids) <= _LONGEST_CACHED:
            return self._cached_decode(ids.tobytes())
        return self._decode(ids.tobytes())

    def protect(self, ids: Collection[int]) -> None:
        """See to it that text never encodes to `ids`, special tokens or not; drops the caches.

        Some tokenizers (DeepSeek's, many fine-tunes') do not mark the tokens of their own chat
        template as special.
        """
        if self._backend is not None:
            self._backend = _plain_backend(self._tokenizer, ids)
            self._words = word_encoder(self._backend)
            self._cached_encode.cache_clear()

    def spell(self, ids: list[int]) -> str:
        """Return the text of `ids` with special tokens spelled out."""
        return str(self._decoder.decode(ids, skip_special_tokens=False))

    def to_ids(self, text: str) -> list[int]:
        """Return what `encode` does, as a list and past its cache."""
        ids = self._words.encode(text) if self._words is not None else None
        if ids is not None:
            return ids
        try:
            return self._to_ids(text)
        except (TypeError, UnicodeEncodeError):
            # Lone surrogates cannot cross into the tokenizer.
            return self._to_ids(text.encode("utf-8", "replace").decode())

    def _encode(self, text: str) -> Ids:
        return frozen(self.to_ids(text))

    def _to_ids(self, text: str) -> list[int]:
        if self._backend is not None:
            return list(self._backend.encode(text, add_special_tokens=False).ids)
        plain = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return list(plain)

    def _decode(self, ids: bytes) -> str:
        numbers = np.frombuffer(ids, np.int32).tolist()
        return str(self._decoder.decode(numbers, skip_special_tokens=True))


def frozen(ids: Any) -> Ids:
    """Return `ids` as a read-only array that caches may share, shape [length]."""
    array = np.array(ids, np.int32)
    array.setflags(write=False)
    return array


def _plain_backend(tokenizer: Any, protected: Collection[int] = ()) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    described = backend.to_str()
    if protected:
        tree = json.loads(described)
        for token in tree["added_tokens"]:
            token["special"] = token["special"] or token["id"] in protected
        described = json.dumps(tree)
    copy = type(backend).from_str(described)
    copy.encode_special_tokens = True
    copy.no_padding()
    copy.no_truncation()
    return copy
