"""Encoding word by word from a cache, several times as fast as the tokenizer on new text.

A byte-level BPE tokenizer cuts text into words by a pattern and encodes every word by itself, so
the ids of a word need to be found once. That is done here for ASCII text, where the pattern of
nearly every such tokenizer means the same in Python; all else is left to the tokenizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import chain
from typing import Any

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_COMMON = re.compile(
    r"(?:\\p\{[LN]\}|\\[sSrn]|\(\?(?:i:|!|=)|\[\^?|[\w\]()|?*+', /:-]|\{\d(?:,\d)?\}(?!\+))*"
)
"""Patterns of nothing but this mean the same to the tokenizer and to Python, in ASCII text."""
_CLASS = re.compile(r"\[[^\]]*\]|\\p\{[LN]\}")
_KINDS = ((r"\p{L}", "A-Za-z"), (r"\p{N}", "0-9"))
_ASCII = re.compile(r"[\t\n\r -~]*")
_CHARACTERS = "\t\n\r" + "".join(map(chr, range(32, 127)))
_TO_BYTE_LEVEL = str.maketrans({" ": "Ġ", "\n": "Ċ", "\t": "ĉ", "\r": "č"})
_KEPT_WORDS = 1 << 16
_LONGEST_KEPT = 64


class WordEncoder:
    """Encodes ASCII text as one tokenizer does."""

    def __init__(
        self, model: Any, split: Callable[[str], list[str]], reserved: re.Pattern[str] | None
    ) -> None:
        """Encode the words that `split` finds with `model`; see `word_encoder`.

        Args:
            model: The tokenizer's BPE model.
            split: Cuts ASCII text into words.
            reserved: Finds text that the tokenizer does not read as plain characters.
        """
        self._split = split
        self._reserved = reserved
        self._known = _KnownWords(model)

    def encode(self, text: str) -> list[int] | None:
        """Return the ids of `text`, or None where only the tokenizer itself can tell."""
        if _ASCII.fullmatch(text) is None:
            return None
        if self._reserved is not None and self._reserved.search(text):
            return None
        return list(chain.from_iterable(map(self._known.__getitem__, self._split(text))))


class _KnownWords(dict[str, list[int]]):
    """The ids of words; a word that is missing is encoded."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def __missing__(self, word: str) -> list[int]:
        ids = [token.id for token in self._model.tokenize(word.translate(_TO_BYTE_LEVEL))]
        if len(word) <= _LONGEST_KEPT:
            if len(self) >= _KEPT_WORDS:
                self.clear()
            self[word] = ids
        return ids


def word_encoder(backend: Any) -> WordEncoder | None:
    """Return the encoder that agrees with a tokenizer, or None where none is sure to.

    Args:
        backend: A `tokenizers.Tokenizer` that reads special tokens as plain text.
    """
    tree = json.loads(backend.to_str())
    model, normalizer = tree["model"], tree["normalizer"] or {"type": "NFC"}
    if model.get("type") != "BPE" or model["dropout"] or normalizer["type"] != "NFC":
        return None
    pattern = _pattern(tree["pre_tokenizer"] or {})
    if pattern is None or not _COMMON.fullmatch(pattern):
        return None
    split = re.compile(_CLASS.sub(_in_ascii, pattern), re.ASCII).findall
    every_pair = "".join(a + b for a in _CHARACTERS for b in _CHARACTERS)
    cuts = backend.pre_tokenizer.pre_tokenize_str(every_pair)
    if split(every_pair) != [every_pair[start:end] for _, (start, end) in cuts]:
        return None
    added = [token["content"] for token in tree["added_tokens"] if not token["special"]]
    if not all(text.isascii() for text in added):
        return None
    reserved = re.compile("|".join(map(re.escape, added))) if added else None
    return WordEncoder(backend.model, split, reserved)


def _pattern(cutter: dict[str, Any]) -> str | None:
    """Return the pattern by which a byte-level pre-tokenizer cuts words."""
    parts = cutter.get("pretokenizers", [cutter])
    last = parts[-1]
    if last.get("type") != "ByteLevel" or last["add_prefix_space"]:
        return None
    if len(parts) == 1 and last["use_regex"]:
        return _GPT2
    if len(parts) != 2 or last["use_regex"] or parts[0]["type"] != "Split":
        return None
    if parts[0]["behavior"] != "Isolated" or parts[0]["invert"]:
        return None
    found = parts[0]["pattern"].get("Regex")
    return None if found is None else str(found)


def _in_ascii(found: re.Match[str]) -> str:
    """Return a character class with letters and numbers spelled out."""
    text = found.group()
    for kind, characters in _KINDS:
        text = text.replace(kind, characters if text.startswith("[") else f"[{characters}]")
    return text
