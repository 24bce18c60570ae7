"""Cut text into words as Lucene's StandardTokenizer does.

The boundaries are Unicode's (UAX #29); each CJK character is a word, and each emoji sequence. A
text is first written as a string of class signs, one per character; the grammar is a regular
expression over that string. It equals the tokenizer's own automaton, state by state, and its
quantifiers are possessive, so that no text makes it run through the same place twice.

Signs: `A` letter, `a` letter that is also an emoji, `G` Hangul, `h` Hebrew letter, `0` and `N`
digit, `K` Katakana, `_` connector, `:` within words, `,` within numbers, `.` within both, `'` and
`"` quotes, `C` Han, `H` Hiragana, `S` and `s` South-East Asian letter and sign, `J` emoji, `B`
emoji that takes a skin tone, `M` skin tone, `R` regional indicator, `#` keycap base, `k` keycap,
`g` and `c` tag and its end, `v` and `t` emoji and text presentation, `z` joiner, `x` any other
extender.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path

MAX_UNITS = 255
"""Longest token, in UTF-16 units: the tokenizer sees no farther from a token's start."""

_NO_WORD = " "
_REMEMBERED = 1 << 16
_CLASSES_FILE = Path(__file__).with_name("assets") / "word_break.txt"

_E = "[xtkvzgcs]*+"
_F = "[xkgcsz]*+"
_INNER = rf"(?:[:.']{_E}[AaGh]{_E})"
_LETTER = rf"[AaG]{_E}{_INNER}*+"
_HEBREW = rf"h{_E}(?:'{_E}|\"{_E}h{_E}|(?!'){_INNER}{_INNER}*+)?"
_DIGIT = rf"[N0]{_E}(?:[,.']{_E}(?=[N0]))?"
_RUN = rf"(?:(?:{_LETTER}|{_HEBREW}|{_DIGIT})++|(?:K{_E})++)"
_WORD = rf"{_RUN}(?:(?:_{_E})++{_RUN})*+(?:_{_E})*+"

_TONED = rf"M{_F}|B{_F}(?:M{_F}|v)?"
_FIRST = rf"(?:{_TONED}|J{_F}v?)"
_NEXT = rf"(?:{_TONED}|[Ja]{_F}v?)"
_JOINED = rf"(?:(?<=z){_NEXT}|(?<=v)z(?:(?=M)|z*+(?=[BJa])){_NEXT})*+"
_EMOJI = rf"(?:{_FIRST}|z++(?=[BJa]){_NEXT})(?:(?<=v)g++c|{_JOINED})"
_LETTER_EMOJI = rf"(?:a{_F}(?:vz++(?=[BJa])|vz(?=M)|(?<=z)))++{_FIRST}{_JOINED}"
_TOKEN = re.compile(
    rf"{_LETTER_EMOJI}|{_EMOJI}"
    rf"|(?:_{_E})*+{_WORD}|(?P<junk>(?:_{_E})++)"
    rf"|R{_E}R{_E}"
    rf"|#[xzgcs]*+(?:k[xkzgcs]*+(?:vk[xkzgcs]*+)?|vk[xkzgcs]*+)"
    rf"|[CH]{_E}|[Ss][xtkvzgcSs]*+"
)


_PART = r"(?:[A-Za-z]++(?:[:.'][A-Za-z]++)*+|[0-9]++(?:[,;.'][0-9]++)*+)++"
_ASCII_TOKEN = re.compile(rf"(?<!_)_*+{_PART}(?:_++{_PART})*+_*+")
"""The same grammar, of what is left of it when all characters are ASCII."""

_JUNK = re.compile("[_xtkvgc]++")
_JOINERS = "z" * MAX_UNITS

_span = re.Match.span


def cut(text: str) -> list[str]:
    """Return the words of a text, in order, as they are written."""
    if text.isascii():
        words: list[str] = _ASCII_TOKEN.findall(text)
        signs = None
    else:
        signs = text.translate(_signs())
        if "_" in signs or _JOINERS in signs:
            return list(_cut_with_care(text, signs))
        words = [text[start:end] for start, end in map(_span, _TOKEN.finditer(signs))]
    if len(text) > MAX_UNITS // 2 and max(map(len, words), default=0) > MAX_UNITS // 2:
        return list(_cut_with_care(text, signs or text.translate(_signs())))
    return words


def _cut_with_care(text: str, signs: str) -> Iterator[str]:
    """Yield the words of a text that may have some beyond `MAX_UNITS`, or connectors alone."""
    position = 0
    # Each joiner of a long run would look for an emoji at its end.
    matches = iter(()) if _JOINERS in signs else _TOKEN.finditer(signs)
    for match in matches:
        start, end = match.span()
        if match.lastgroup == "junk":
            is_plain = signs.count("_", start, end) == end - start
        else:
            is_plain = utf16_length(text[start:end]) <= MAX_UNITS
            if is_plain:
                yield text[start:end]
        if not is_plain:
            break
        position = end
    yield from _cut_by_window(text, signs, position)


def _cut_by_window(text: str, signs: str, position: int) -> Iterator[str]:
    """Yield the words from a position on, looking no farther than `MAX_UNITS` at a time."""
    has_pairs = utf16_length(text) > len(text)
    while position < len(text):
        limit = position + MAX_UNITS
        while has_pairs and utf16_length(text[position:limit]) > MAX_UNITS:
            limit -= 1
        match = _TOKEN.match(signs, position, limit)
        if match and match.lastgroup != "junk":
            yield text[position : match.end()]
            position = match.end()
        else:
            position = max(position + 1, _end_of_junk(signs, position) - MAX_UNITS)


def _end_of_junk(signs: str, position: int) -> int:
    """Return how far there is nothing but connectors and plain extenders: words begin beyond."""
    match = _JUNK.match(signs, position)
    return match.end() if match else position


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 units, as Java counts."""
    return len(text) + (0 if text.isascii() else sum(map("\uffff".__lt__, text)))


class _Signs(dict[int, str]):
    """The class sign of each character met so far, by code point."""

    def __init__(self, starts: list[int], signs: list[str]) -> None:
        super().__init__()
        self._starts = starts
        self._signs = signs

    def __missing__(self, code_point: int) -> str:
        sign = self._signs[bisect_right(self._starts, code_point) - 1]
        if len(self) < _REMEMBERED:
            self[code_point] = sign
        return sign


@cache
def _signs() -> _Signs:
    """Read the file of character classes."""
    starts = {0: _NO_WORD}
    for line in _CLASSES_FILE.read_text(encoding="ascii").splitlines():
        sign, _, ranges = line.partition(" ")
        for span in ranges.split():
            first, _, last = span.partition("-")
            starts[int(first, 16)] = sign
            starts.setdefault(int(last or first, 16) + 1, _NO_WORD)
    ordered = sorted(starts)
    return _Signs(ordered, [starts[start] for start in ordered])
