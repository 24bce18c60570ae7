"""How good an answer is: exact match and word F1, each the best over all reference answers.

Exact match and `squad_f1` are those of SQuAD (Rajpurkar et al., 2016) as HotpotQA's evaluation
uses them: lower case, no ASCII punctuation, no articles; words counted as often as they occur;
an answer of yes or no is right or wrong as a whole. `f1` is the outcome reward of IGPO
(arXiv 2510.14967, released code): lower case, punctuation becomes spaces, each word counts once.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_LONGEST = 2000
"""Characters of an answer that are read; no reference comes near."""
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_WORD = re.compile(r"[\W_]+")
_WHOLE = frozenset({"yes", "no", "noanswer"})


class Score(NamedTuple):
    """What an answer is worth; all numbers from 0 to 1."""

    exact_match: float = 0.0
    f1: float = 0.0
    """Over sets of words, as IGPO pays it."""
    squad_f1: float = 0.0
    """Over words as often as they occur, as SQuAD and HotpotQA report it."""


def score(prediction: str, references: Sequence[str]) -> Score:
    """Return the best score of an answer, measure by measure, over the reference answers."""
    prediction = prediction[:_LONGEST]
    return Score(
        max((exact_match(prediction, reference) for reference in references), default=0.0),
        max((unique_f1(prediction, reference) for reference in references), default=0.0),
        max((squad_f1(prediction, reference) for reference in references), default=0.0),
    )


def normalise(text: str) -> str:
    """Return an answer as SQuAD compares it."""
    bare = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, reference: str) -> float:
    """Return 1 where two answers are equal when normalised, else 0."""
    return float(normalise(prediction) == normalise(reference))


def unique_f1(prediction: str, reference: str) -> float:
    """Return the F1 of the sets of words of two answers."""
    ours = set(_NO_WORD.sub(" ", prediction.lower()).split())
    theirs = set(_NO_WORD.sub(" ", reference.lower()).split())
    return _f1(len(ours & theirs), len(ours), len(theirs))


def squad_f1(prediction: str, reference: str) -> float:
    """Return the F1 of the words of two normalised answers."""
    one, other = normalise(prediction), normalise(reference)
    if one != other and (one in _WHOLE or other in _WHOLE):
        return 0.0
    ours, theirs = one.split(), other.split()
    common = sum((Counter(ours) & Counter(theirs)).values())
    return _f1(common, len(ours), len(theirs))


def _f1(common: int, ours: int, theirs: int) -> float:
    """Return the harmonic mean of precision and recall; 0 where nothing is in common."""
    return 2 * common / (ours + theirs) if common else 0.0
