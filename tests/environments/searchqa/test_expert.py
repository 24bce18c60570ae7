from __future__ import annotations

import pytest

from agentrl.environments.searchqa import LEVELS, generate
from agentrl.environments.searchqa.expert import (
    oracle_move,
    read_facts,
    read_question,
    search_move,
)
from agentrl.environments.searchqa.library import Passage


@pytest.mark.parametrize(
    ("text", "start", "relations"),
    [
        ("Where was Ada Holm born?", "Ada Holm", ("birthplace",)),
        ("Where was the mother of Ada Holm born?", "Ada Holm", ("mother", "birthplace")),
        ("Which country is the home town of Ada Holm in?", "Ada Holm", ("home", "country")),
        (
            "What is the job of the mayor of the birthplace of the boss of Tom Vik?",
            "Tom Vik",
            ("boss", "birthplace", "mayor", "job"),
        ),
    ],
)
def test_questions_are_understood(text, start, relations):
    assert read_question(text) == (start, relations)


def test_another_wording_is_left_alone():
    assert read_question("Whose son was Ada?") is None
    assert search_move("Whose son was Ada?", ()) is None


def test_passages_are_understood():
    text = "A baker, born in Kesh, living in Marn. Her mother is Mona Vik. Her boss is Tom Fox."
    assert read_facts(Passage("Ada Holm", text)) == {
        "job": "baker",
        "birthplace": "Kesh",
        "home": "Marn",
        "mother": "Mona Vik",
        "boss": "Tom Fox",
    }
    town = Passage("Kesh", "A town in Norland. Its mayor is Ada Holm.")
    assert read_facts(town) == {"country": "Norland", "mayor": "Ada Holm"}


def test_the_reader_looks_up_what_it_does_not_know_and_nothing_else():
    ada = Passage("Ada Holm", "A baker, born in Kesh, living in Marn. Her mother is Mona Vik.")
    mona = Passage("Mona Vik", "A judge, born in Orme, living in Marn. Her boss is Ada Holm.")
    text = "Where was the mother of Ada Holm born?"
    assert search_move(text, ()) == "search[Ada Holm]"
    assert search_move(text, (mona,)) == "search[Ada Holm]"
    assert search_move(text, (ada,)) == "search[Mona Vik]"
    assert search_move(text, (mona, ada)) == "answer[Orme]"


def test_the_oracle_finds_the_support_and_answers():
    question = generate(LEVELS[2], 3)
    first, second = question.supporting
    assert oracle_move(question, frozenset()) == f"search[{first}]"
    assert oracle_move(question, frozenset({first})) == f"search[{second}]"
    assert oracle_move(question, frozenset({first, second})) == f"answer[{question.answers[0]}]"
