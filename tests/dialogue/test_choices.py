"""The tree of choices, against the definition written out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentrl.dialogue.choices import ChoiceEncoder, ChoiceTrie, allowed_ids, choice_trie

STOP = 9
CHOICES = ((1, 2, STOP), (1, 2, 3, STOP), (4, STOP))


def test_walk() -> None:
    trie = ChoiceTrie(CHOICES)
    node: int | None = trie.start()
    assert node is not None
    assert trie.children(node).tolist() == [1, 4]
    for token, following in ((1, [2]), (2, [3, STOP]), (3, [STOP]), (STOP, [])):
        node = trie.advance(node, token)
        assert node is not None
        assert trie.children(node).tolist() == following
    assert trie.advance(trie.start(), 7) is None
    assert trie.children(0).dtype == np.int32


def test_a_choice_that_begins_another_ends_with_the_stop_id() -> None:
    allowed = allowed_ids(CHOICES, np.array([1, 2, STOP], np.int32))
    assert allowed is not None
    assert allowed.counts.tolist() == [2, 1, 2]
    assert allowed.ids.tolist() == [1, 4, 2, 3, STOP]


def test_cut_off_empty_and_foreign_responses() -> None:
    cut = allowed_ids(CHOICES, [1])
    assert cut is not None
    assert cut.counts.tolist() == [2]
    empty = allowed_ids(CHOICES, [])
    assert empty is not None
    assert empty.ids.tolist() == empty.counts.tolist() == []
    assert allowed_ids(CHOICES, [2]) is None
    assert allowed_ids(CHOICES, [1, 2, STOP, STOP]) is None


def test_trees_are_shared() -> None:
    assert choice_trie(CHOICES) is choice_trie(tuple(tuple(choice) for choice in CHOICES))


@given(st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=12), st.randoms())
def test_sets_are_the_ids_that_continue_a_choice(bodies: list[list[int]], random: object) -> None:
    choices = tuple((*body, STOP) for body in bodies)
    for choice in choices:
        allowed = allowed_ids(choices, choice)
        assert allowed is not None
        sets = np.split(allowed.ids, np.cumsum(allowed.counts)[:-1])
        for position, ids in enumerate(sets):
            begun = [c for c in choices if c[:position] == choice[:position] and len(c) > position]
            assert ids.tolist() == sorted({c[position] for c in begun})


def test_encoder_ends_choices_and_keeps_the_first_of_equal_texts() -> None:
    def encode(text: str) -> np.ndarray:
        return np.frombuffer(text.lower().encode(), np.uint8).astype(np.int32)

    restriction = ChoiceEncoder(encode, STOP)(["a", "ab", "AB", "a"])
    assert restriction.choices == ((97, STOP), (97, 98, STOP))
    assert restriction.texts[97, 98, STOP] == "ab"
    assert restriction.longest == 3
    assert restriction.within(3) is restriction.choices
    assert restriction.within(2) == ((97, STOP),)
    assert restriction.within(1) == ()
