"""From text to search terms, as Lucene's English analysis does in Anserini.

Words by Unicode's rules, no possessive, lower case, without the 33 stop words, stemmed.
"""

from __future__ import annotations

from functools import lru_cache

from agentrl.environments.webshop.porter import stem
from agentrl.environments.webshop.word_break import cut

STOP_WORDS = frozenset(
    ("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it",
     "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these",
     "they", "this", "to", "was", "will", "with")
)  # fmt: skip
_POSSESSIVES = tuple(mark + letter for mark in "'\u2019\uff07" for letter in "sS")
_DOTTED_CAPITAL_I = "\u0130"


def analyse(text: str) -> list[str]:
    """Return the terms of a text, in order and as often as they occur.

    The time is linear in the text; any string will do, control characters and halves of surrogate
    pairs included.
    """
    return [term for term in map(term_of, cut(text)) if term is not None]


@lru_cache(maxsize=1 << 15)
def term_of(word: str) -> str | None:
    """Return the term a word is found under, or None for a stop word."""
    if len(word) > 1 and word.endswith(_POSSESSIVES):
        word = word[:-2]
    word = word.lower() if word.isascii() else "".join(map(_lower, word))
    return None if word in STOP_WORDS else stem(word)


def _lower(character: str) -> str:
    """Return the one lower-case character, as Java has it."""
    return "i" if character == _DOTTED_CAPITAL_I else character.lower()
