"""Colours as the option reward sees them: the first plain colour that a name contains."""

from __future__ import annotations

from typing import TypeVar

Option = TypeVar("Option", bound="str | tuple[str, str]")

NOT_MATCHED = "not_matched"
_IN_ORDER = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown
burgundy camel camo caramel champagne charcoal cheetah chestnut chocolate christmas coffee
cognac copper coral cranberry cream crystal dark denim eggplant elephant espresso fuchsia gold
granite grape graphite grass gray green grey heather indigo ivory ivy khaki lavender lemon
leopard light lilac lime magenta maroon mauve merlot midnight mint mocha multicolor mushroom
mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal
rust sand sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal
tiger turquoise violet walnut wheat white wine yellow
"""
COLOURS = tuple(_IN_ORDER.split())
"""The original's colours, in the order in which it looks for them."""


def plain_colour(option: Option) -> Option | str:
    """Return the first colour that an option contains, or else the option itself.

    The original hands over the (group, value) pair of a synthetic goal where it means the value:
    then "contains" is true only of a value (or group) that is itself a plain colour.
    """
    return next((colour for colour in COLOURS if colour in option), option)


def colour_class(colour: str) -> str:
    """Return the plain colour of a colour's name, or `not_matched`."""
    return next((plain for plain in COLOURS if plain in colour.lower()), NOT_MATCHED)
