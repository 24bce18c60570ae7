"""Sizes sorted into classes, as the original's statistics do; the reward compares sizes as text."""

from __future__ import annotations

import re

from agentrl.environments.webshop.colours import NOT_MATCHED

NUMERIC = "numeric_size"
_NAMED = "xx-large,3x-large,4x-large,5x-large,x-large,x-small,medium,large,small"
_BEDS_AND_PACKS = "queen,twin,full,king,one size,pack"
_SHAPES = (
    r"(.*)neck(.*)sleeve",
    r"(.*) women \| (.*) men",
    r"(.*)w x(.*)l",
    r"(.*)w by (.*)l",
    r"(.*)w x(.*)h",
    *(rf"(.*){word}" for word in ("wide", "x-wide", "narrow", "petite", "inch", "plus", "mm")),
    r"women(.*)",
    r"(.*)x(.*)",
    *(rf"(.*){unit}" for unit in ("ft", "feet", "meter", "yards")),
    r"(.*)\*(.*)",
    r"(.*)\-(.*)",
    *(rf"(\d+){unit}$" for unit in ('"', "f", "m", "cm", "g")),
)
SIZES = (*_NAMED.split(","), *_BEDS_AND_PACKS.split(","), *_SHAPES)
"""The original's patterns, in the order in which it tries them."""
_LONGEST = 1000


def size_class(size: str) -> str:
    """Return the first pattern that a size shows, `numeric_size`, or `not_matched`."""
    text = size.lower()[:_LONGEST]
    found = next((pattern for pattern in SIZES if re.search(pattern, text)), None)
    if found is not None:
        return found
    return NUMERIC if text.replace(".", "", 1).isdigit() else NOT_MATCHED
