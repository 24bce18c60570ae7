"""Two experts: one that knows only what it was shown, and one that knows the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from agentrl.environments.searchqa.actions import answer, search
from agentrl.environments.searchqa.library import Passage
from agentrl.environments.searchqa.question import Question
from agentrl.environments.searchqa.world import RELATIONS

_NAME = r"[A-Z]\w+(?: [A-Z]\w+)?"
_FRAMES = tuple(
    (re.compile(re.escape(relation.question).replace(r"\{\}", "(.+)")), name)
    for name, relation in RELATIONS.items()
)
_STEP = re.compile(
    f"the ({'|'.join(re.escape(relation.noun) for relation in RELATIONS.values())}) of (.+)"
)
_BY_NOUN = {relation.noun: name for name, relation in RELATIONS.items()}
_PERSON = re.compile(
    rf"A (?P<job>\w+), born in (?P<birthplace>{_NAME}), living in (?P<home>{_NAME})\."
)
_TOWN = re.compile(rf"A town in (?P<country>{_NAME})\.")
_LINK = re.compile(rf"(?:Her|His|Its) (\w+) is ({_NAME})\.")


def search_move(text: str, passages: Sequence[Passage]) -> str | None:
    """Return what a careful reader does next: look up one fact after the other, then answer.

    Args:
        text: The question, in the wording of generated ones.
        passages: All that was shown so far.

    Returns:
        The action, or None for a question in another wording.
    """
    read = read_question(text)
    if read is None:
        return None
    here, relations = read
    known = {passage.title: passage for passage in passages}
    for relation in relations:
        if here not in known:
            return search(here)
        here = read_facts(known[here]).get(relation, "")
    return answer(here)


def oracle_move(question: Question, titles: frozenset[str]) -> str:
    """Return the search for the first supporting passage not yet seen, or else the answer.

    Args:
        question: The question.
        titles: The titles seen so far.
    """
    missing = next((title for title in question.supporting if title not in titles), None)
    return answer(question.answers[0]) if missing is None else search(missing)


@lru_cache(1024)
def read_question(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Return where a generated question starts and the relations to follow, in order."""
    for frame, name in _FRAMES:
        found = frame.fullmatch(text)
        if found is None:
            continue
        relations, phrase = [name], found[1]
        while step := _STEP.fullmatch(phrase):
            relations.append(_BY_NOUN[step[1]])
            phrase = step[2]
        return phrase, tuple(reversed(relations))
    return None


@lru_cache(4096)
def read_facts(passage: Passage) -> Mapping[str, str]:
    """Return the facts that a generated passage states."""
    facts: dict[str, str] = dict(_LINK.findall(passage.text))
    for pattern in (_PERSON, _TOWN):
        if found := pattern.match(passage.text):
            facts |= found.groupdict()
    return facts
