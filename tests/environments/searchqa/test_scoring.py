from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.environments.searchqa.scoring import (
    exact_match,
    normalise,
    score,
    squad_f1,
    unique_f1,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Beatles!", "beatles"),
        ("a cat and an apple", "cat and apple"),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),
        ("—", "—"),
    ],
)
def test_normalising(text, normal):
    assert normalise(text) == normal


def test_exact_match():
    assert exact_match("The Harrow School.", "harrow school") == 1
    assert exact_match("Harrow", "Harrow School") == 0
    assert exact_match("", "Harrow School") == 0


def test_f1_over_sets_counts_each_word_once():
    # {the, king, of} against {king, of, kings}: two in common of three each.
    assert unique_f1("the king of of king", "King of Kings") == pytest.approx(2 / 3)
    # Punctuation becomes spaces: {u, s, a} has nothing of {usa}.
    assert unique_f1("U.S.A.", "USA") == 0
    assert unique_f1("rock-n-roll", "Rock n Roll") == 1


def test_f1_over_words_counts_them_as_often_as_they_occur():
    # Without articles: king of of king (4) against king of kings (3); king and of in common.
    assert squad_f1("the king of of king", "King of Kings") == pytest.approx(4 / 7)
    assert squad_f1("U.S.A.", "USA") == 1


def test_yes_and_no_are_right_or_wrong_as_a_whole():
    assert squad_f1("yes", "Yes.") == 1
    assert squad_f1("yes it is", "yes") == 0
    assert squad_f1("no", "no way") == 0


def test_the_best_reference_counts_measure_by_measure():
    worth = score("Lord Byron", ["George Gordon Byron", "lord byron"])
    assert worth == (1.0, 1.0, 1.0)
    assert score("Byron", ["Lord Byron", "Byron Bay Shire"]).f1 == pytest.approx(2 / 3)
    assert score("Byron", []) == (0.0, 0.0, 0.0)
    assert score("...", ["Byron"]) == (0.0, 0.0, 0.0)


@given(st.text(), st.text())
def test_scores_are_symmetric_and_between_0_and_1(one, other):
    for measure in (exact_match, unique_f1, squad_f1):
        assert 0 <= measure(one, other) <= 1
        assert measure(one, other) == measure(other, one)


@given(st.text(max_size=200))
def test_an_answer_that_matches_has_full_f1(text):
    worth = score(text, [text])
    assert worth.exact_match == 1
    if normalise(text):
        assert worth.squad_f1 == 1
