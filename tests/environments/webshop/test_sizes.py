from __future__ import annotations

import pytest

from agentrl.environments.webshop.sizes import SIZES, size_class


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("3 meter", "(.*)meter"),
        ("xx-large", "xx-large"),
        ("random value", "not_matched"),
        ("40cm plus", "(.*)plus"),
        ("142", "numeric_size"),
        ("2 petite", "(.*)petite"),
        ("91ft walnut feet", "(.*)ft"),
    ],
)
def test_the_published_cases(size: str, expected: str) -> None:
    assert size_class(size) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("X-Large", "x-large"),
        ("8 women | 6 men", "(.*) women \\| (.*) men"),
        ("32w x 30l", "(.*)w x(.*)l"),
        ("9.5", "numeric_size"),
        ("1.2.3", "not_matched"),
        ("9 x-wide", "(.*)wide"),
        ('24"', '(\\d+)"$'),
        ("", "not_matched"),
    ],
)
def test_the_first_pattern_that_fits_is_taken(size: str, expected: str) -> None:
    assert size_class(size) == expected


def test_there_are_as_many_patterns_as_in_the_original() -> None:
    assert len(SIZES) == 40


def test_absurd_sizes_are_sorted_soon() -> None:
    assert size_class("neck" * 25_000) == "not_matched"
