"""Generated worlds: one answer each, found by reading; levels; splits that share nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.environments.searchqa import LEVELS, Level, generate, split_question
from agentrl.environments.searchqa.expert import read_facts, read_question
from agentrl.environments.searchqa.levels import levels_of
from agentrl.environments.searchqa.tasks import generated_tasks
from agentrl.environments.searchqa.vocabulary import COUNTRIES, FAMILIES, JOBS, MEN, TOWNS, WOMEN
from agentrl.errors import ConfigError, TaskError

SEEDS = range(60)


@pytest.mark.parametrize("hops", LEVELS)
def test_the_passages_lead_to_the_answer_and_only_there(hops):
    for seed in SEEDS:
        question = generate(LEVELS[hops], seed)
        read = read_question(question.text)
        assert read is not None, question.text
        here, relations = read
        facts = {passage.title: read_facts(passage) for passage in question.library.passages}
        path = [here]
        for relation in relations:
            path.append(facts[path[-1]][relation])
        assert len(set(path)) == hops + 1
        assert tuple(path[:-1]) == question.supporting
        assert question.answers == (path[-1],)
        assert len(facts) == len(question.library.passages), "titles are unique"


@pytest.mark.parametrize("hops", LEVELS)
def test_levels(hops):
    level = LEVELS[hops]
    questions = [generate(level, seed) for seed in SEEDS]
    for question in questions:
        assert len(question.library.passages) == level.people + level.towns
        assert max(len(str(passage).split()) for passage in question.library.passages) <= 30
    starts = {question.text.split(" ")[0] for question in questions}
    assert starts == {"Who", "Where", "What", "Which"}
    families = {name.split()[1] for q in questions[:1] for name in q.searchable if " " in name}
    assert len(families) <= level.families


def test_the_vocabulary_is_small():
    names = [*WOMEN, *MEN, *FAMILIES, *TOWNS, *COUNTRIES, *JOBS]
    assert len(set(names)) == len(names) < 100
    words = {
        word
        for hops in LEVELS
        for seed in range(200)
        for question in [generate(LEVELS[hops], seed)]
        for text in [question.text, *map(str, question.library.passages)]
        for word in re.findall(r"\w+", text)
    }
    assert len(words) < 150


def test_mothers_are_women_and_elders_go_one_way():
    for seed in SEEDS:
        passages = generate(LEVELS[4], seed).library.passages
        facts = {passage.title: read_facts(passage) for passage in passages}
        for one in facts.values():
            assert one.get("mother", "Ada").split()[0] in WOMEN
            assert one.get("father", "Abel").split()[0] in MEN
        for start in facts:
            here, steps = start, 0
            while "teacher" in facts[here]:
                here, steps = facts[here]["teacher"], steps + 1
                assert here != start
                assert steps < len(facts)


def test_names_are_what_the_passages_name():
    question = generate(LEVELS[3], 5)
    assert question.names is not None
    for number, passage in enumerate(question.library.passages):
        assert all(name in str(passage) for name in question.names[number])
        assert set(read_facts(passage).values()) <= set(question.names[number])
    assert all(name in question.text for name in question.names[-1])


def test_splits_share_no_content():
    contents = {
        split: {split_question((1, 2, 3, 4), split, index).content for index in range(150)}
        for split in ("train", "valid", "test")
    }
    assert all(len(found) == 150 for found in contents.values()), "no two tasks are alike"
    assert not contents["train"] & contents["test"]
    assert not contents["train"] & contents["valid"]
    assert not contents["valid"] & contents["test"]
    shares = {name: {int(c, 16) % 4 for c in found} for name, found in contents.items()}
    assert shares == {"train": {2, 3}, "valid": {0}, "test": {1}}


def test_the_content_does_not_depend_on_the_passages_order():
    one = generate(LEVELS[2], 1)
    assert one.content == generate(LEVELS[2], 1).content
    assert one.content != generate(LEVELS[2], 1, attempt=1).content
    assert one.content != generate(LEVELS[2], 2).content


def test_every_process_makes_the_same():
    program = (
        "import json; from agentrl.environments.searchqa import split_question;"
        "q = [split_question((1, 2, 3, 4), s, 7) for s in ('train', 'valid', 'test')];"
        "print(json.dumps([[x.text, x.content, list(map(str, x.library.passages))] for x in q]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    here = [split_question((1, 2, 3, 4), split, 7) for split in ("train", "valid", "test")]
    told = [[q.text, q.content, list(map(str, q.library.passages))] for q in here]
    assert json.loads(done.stdout) == told


def test_generated_questions_stay_as_they_are():
    """Task ids name the same questions in every release: figures would not compare otherwise."""
    tasks = generated_tasks((1, 2, 3, 4))
    panel = [tasks.fingerprint(f"test/{number}") for number in range(4)]
    assert panel == PANEL, panel


PANEL = ["6cf115e3617dea09", "2280674ddbb8cc49", "6ef883b2c4a0322d", "4719bc5f6897725d"]


def test_mixed_levels_are_all_drawn():
    hops = {len(split_question((1, 3), "train", index).supporting) for index in range(40)}
    assert hops == {1, 3}


def test_levels_that_make_no_sense():
    for difficulty in (0, 5, True, (), (1, 9), "hard", 1.5):
        with pytest.raises(ConfigError, match="difficulty"):
            levels_of(difficulty)
    with pytest.raises(ConfigError, match="hops must be a whole number from 1 to 12, not 0"):
        Level("x", hops=0, people=5, towns=3, families=3)
    with pytest.raises(ConfigError, match="people"):
        Level("x", hops=1, people=30, towns=3, families=3)
    with pytest.raises(ConfigError, match="no chain of 12 facts among 3 people"):
        generate(Level("x", hops=12, people=3, towns=1, families=1), 0)
    with pytest.raises(TaskError, match="unknown split 'tset'; did you mean 'test'"):
        split_question(1, "tset", 0)


@given(st.integers(1, 6), st.integers(0, 10**9))
def test_own_levels(hops, seed):
    level = Level("own", hops=hops, people=20, towns=8, families=4)
    question = generate(level, seed)
    assert len(question.supporting) == hops
    assert read_question(question.text) is not None
