from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.credit import assign, parse
from agentrl.credit.matchers import EmbeddingMatcher, SimilarityMatcher, normal_form
from agentrl.credit.salt import Salt, merge_rate
from agentrl.errors import ConfigError, MissingExtraError, ModelError
from agentrl.trajectory import Outcome, Trajectory, Turn

Steps = Sequence[tuple[str, str]]
"""(action, observation it returned) of each turn."""

CLEAN = [("go fridge", "apple seen"), ("take apple", "holding"), ("go sink", "at sink")]
CLEAN += [("wash", "clean")]
LEAVE = [*CLEAN[:2], ("go table", "at table")]
SEARCH = [CLEAN[0], ("open drawer", "empty"), ("go table", "at table")]


def episode(
    index: int, steps: Steps, reward: float = 0.0, group: str = "g", **options: Any
) -> Trajectory:
    first = options.pop("first", "start")
    seen = [first, *(observation for _, observation in steps)]
    prompt = options.pop("prompt", 1)
    turns = [
        Turn(
            seen[t],
            action,
            reward=reward if t == len(steps) - 1 else 0.0,
            prompt_ids=np.zeros(prompt, np.int32),
            response_ids=np.ones(1 + t % 2, np.int32),
            logprobs=np.zeros(1 + t % 2, np.float32),
        )
        for t, (action, _) in enumerate(steps)
    ]
    outcome = options.pop("outcome", Outcome.SUCCESS if reward > 0 else Outcome.FAILURE)
    return Trajectory(
        f"{group}#{index}", group, "task", turns, outcome, final_observation=seen[-1], **options
    )


def gather(*steps: Steps, returns: Sequence[float] | None = None) -> Batch:
    earned = returns or [0.0] * len(steps)
    return Batch.from_trajectories(episode(i, s, earned[i]) for i, s in enumerate(steps))


def salt(batch: Batch, outcome: Sequence[float], **parameters: Any) -> list[list[float]]:
    """SALT over the given value per trajectory, turns by trajectory."""
    host = np.array(outcome, np.float64)[batch.trajectory_of_turn()]
    values = Salt(**parameters)(batch, host, {})
    return [v.tolist() for v in np.split(values, batch.turn_offsets[1:-1])]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (
            "grpo",
            [
                [0, 0.288675, 0.866024, 0.866024],
                [0, 0.288675, -0.866024],
                [0, -0.866024, -0.866024],
            ],
        ),
        (
            "rloo",
            [
                [0, 0.222222, 0.666667, 0.666667],
                [0, 0.222222, -0.666667],
                [0, -0.666667, -0.666667],
            ],
        ),
    ],
)
def test_worked_example(host: str, expected: list[list[float]]) -> None:
    batch = gather(CLEAN, LEAVE, SEARCH, CLEAN, returns=[1, 0, 0, 1])
    values = assign(batch, [host, "salt"])
    flat = [value for row in [*expected, expected[0]] for value in row]
    assert values == pytest.approx(flat, abs=1e-6)
    assert merge_rate(batch) == pytest.approx(11 / 14)


@pytest.mark.parametrize(
    ("history", "expected"),
    [(1, [[1, 1, 0], [-1, -1, 0]]), (2, [[1, 1, 1], [-1] * 3]), (3, [[1, 1, 1], [-1] * 3])],
)
def test_window(history: int, expected: list[list[float]]) -> None:
    tail = [("go", "hall"), ("take", "key")]
    batch = gather([("x1", "o1"), *tail], [("x2", "o2"), *tail])
    assert salt(batch, [1, -1], history=history) == expected


def test_every_occurrence_counts() -> None:
    look = ("look", "room")
    batch = gather([look] * 5, [look, ("exit", "done")])
    assert salt(batch, [-1, 1], history=1) == [[0, -1, -1, -1, -1], [0, 1]]


def test_occurrences_or_trajectories() -> None:
    batch = gather([("look", "room")] * 3, [("look", "room")] * 2)
    third = -1 / 3
    per_occurrence = salt(batch, [-1, 1], history=1)
    assert per_occurrence[0] == pytest.approx([0, third, third])
    assert per_occurrence[1] == pytest.approx([0, third])
    assert salt(batch, [-1, 1], history=1, unique_per_trajectory=True) == [[0, 0, 0], [0, 0]]


def test_same_action_with_another_result_does_not_merge() -> None:
    assert salt(gather([("open", "empty")], [("open", "apple")]), [1, -1]) == [[1], [-1]]


def test_the_root_includes_the_first_observation() -> None:
    step = [("go", "hall"), ("take", "key")]
    batch = Batch.from_trajectories(
        [episode(0, step, first="kitchen"), episode(1, step, first="cellar")]
    )
    assert salt(batch, [1, -1], history=1) == [[1, 0], [-1, 0]]
    assert salt(batch, [1, -1]) == [[1, 1], [-1, -1]]


def test_groups_and_agents_never_merge() -> None:
    step = [("go", "hall")]
    apart = Batch.from_trajectories([episode(0, step), episode(0, step, group="h")])
    assert salt(apart, [1, -1]) == [[1], [-1]]
    other = episode(1, step)
    other.turns[0].agent = "critic"
    assert salt(Batch.from_trajectories([episode(0, step), other]), [1, -1]) == [[1], [-1]]


def test_a_cut_turn_without_observation_does_not_merge() -> None:
    steps = [("go", "hall"), ("take", "")]
    cut = [episode(i, steps, outcome=Outcome.TRUNCATED_CONTEXT) for i in range(2)]
    assert salt(Batch.from_trajectories(cut), [1, -1]) == [[0, 1], [0, -1]]
    seen = [episode(i, CLEAN, outcome=Outcome.TRUNCATED_TURNS) for i in range(2)]
    assert salt(Batch.from_trajectories(seen), [1, -1]) == [[0] * 4, [0] * 4]
    ended = [episode(i, steps) for i in range(2)]
    assert salt(Batch.from_trajectories(ended), [1, -1]) == [[0, 0], [0, 0]]


def test_an_unparsed_turn_does_not_merge_nor_does_what_follows_in_its_window() -> None:
    steps = [("", "Nothing happens."), ("go", "hall"), ("take", "key")]
    unparsed = [episode(i, steps) for i in range(2)]
    for trajectory in unparsed:
        trajectory.turns[0].valid = False
    batch = Batch.from_trajectories(unparsed)
    assert salt(batch, [1, -1], history=1) == [[1, 1, 0], [-1, -1, 0]]
    assert salt(batch, [1, -1], history=2) == [[1, 1, 1], [-1, -1, -1]]


def test_equal_outcomes_are_left_alone() -> None:
    batch = gather(CLEAN, CLEAN, LEAVE, returns=[1, 1, 1])
    assert (assign(batch, ["grpo", "salt"]) == 0).all()
    assert merge_rate(batch) == 0.0


def test_merged_turns_have_exactly_one_value() -> None:
    batch = gather(*[CLEAN] * 7)
    values = salt(batch, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert {tuple(row) for row in values} == {tuple(values[0])}
    assert set(map(tuple, salt(batch, [0.1] * 7))) == {(0.1,) * 4}


def test_degenerate_batches() -> None:
    assert assign(Batch.from_trajectories([]), ["grpo", "salt"]).shape == (0,)
    batch = gather([], CLEAN, [], returns=[0, 1, 0])
    assert assign(batch, ["grpo", "salt"]).shape == (4,)
    assert len(Salt().explain(batch, np.zeros(4), {})) == 4
    assert salt(gather(CLEAN), [3.0]) == [[3.0] * 4]


def test_explain_says_who_shared_the_edge() -> None:
    batch = gather(CLEAN, LEAVE, SEARCH, CLEAN, returns=[1, 0, 0, 1])
    host = assign(batch, "rloo")
    why = Salt().explain(batch, host, {})
    assert json.loads(json.dumps(why)) == why
    second = why[1]
    assert second["occurrences"] == 3
    assert second["trajectories"] == ["g#0", "g#1", "g#3"]
    assert second["advantage_before"] == pytest.approx(2 / 3)
    assert second["advantage"] == pytest.approx(2 / 9)
    assert (second["merged"], second["action"]) == (True, "take apple")
    assert second["merge_rate"] == pytest.approx(11 / 14)
    alone = why[6]
    assert (alone["merged"], alone["occurrences"]) == (False, 1)
    assert alone["advantage"] == alone["advantage_before"]


def test_merge_rate_looks_at_mixed_groups_only() -> None:
    mixed = [episode(i, CLEAN if i else LEAVE, i) for i in range(2)]
    equal = [episode(i, CLEAN, 1, group="h") for i in range(3)]
    batch = Batch.from_trajectories([*mixed, *equal])
    assert merge_rate(batch) == pytest.approx(4 / 7)
    assert merge_rate(batch, {"history": 1}) == merge_rate(batch, Salt(history=1))


@pytest.mark.parametrize(
    ("matcher", "left", "right", "same"),
    [
        ("exact", "a  b", "a b", False),
        ("normalised", "a \n b ", "a b", True),
        ("normalised", "caf\u00e9", "cafe\u0301", True),
        ("normalised", '{"b": 1, "a": [2]}', '{"a":[2], "b":1}', True),
        ("normalised", '{"b": 1}', '{"b": 2}', False),
        ("similarity", "you see an apple on the table", "you see an apple on the tables", True),
        ({"similarity": {"threshold": 1.0}}, "an apple", "an apples", False),
    ],
)
def test_matchers(matcher: Any, left: str, right: str, same: bool) -> None:
    batch = gather([("look", left)], [("look", right)])
    assert salt(batch, [1, -1], matcher=matcher) == ([[0], [0]] if same else [[1], [-1]])


def test_embedding_matcher_takes_a_function() -> None:
    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[text.count("a"), text.count("b")] for text in texts]

    matcher = EmbeddingMatcher(embed, threshold=0.9)
    near = gather([("x", "aaab")], [("x", "aaaabb")], [("x", "bbbb")])
    assert salt(near, [1, 0, -4], matcher=matcher) == [[0.5], [0.5], [-4]]
    with pytest.raises(ModelError, match=r"one finite vector per text, 3 in all"):
        salt(near, [1, 0, 0], matcher=EmbeddingMatcher(lambda _: np.zeros((1, 2))))


def test_embedding_matcher_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentrl.credit.matchers.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"sentence-transformers.*\[embedding\]"):
        parse(["grpo", {"salt": {"matcher": {"embedding": {"model": "some-model"}}}}])


def test_clusters_do_not_depend_on_order() -> None:
    texts = ["abcdefgh", "abcdefgx", "abcdefxy", "abcdexyz"]
    matcher, groups = SimilarityMatcher(0.8), np.zeros(4, np.int64)
    forward = matcher(texts, groups)
    backward = matcher(texts[::-1], groups)[::-1]
    same = forward[:, None] == forward
    assert (same == (backward[:, None] == backward)).all()
    assert not same.all()


@pytest.mark.parametrize("text", ["[" * 100_000, "{'a': 1}", "[1, ", "{}", "", "\ud800", "[NaN]"])
def test_normal_form_survives_anything(text: str) -> None:
    assert isinstance(normal_form(text), str)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"history": 0}, "history must be 1 or more"),
        ({"matcher": "exactly"}, "did you mean 'exact'"),
        ({"matcher": {"similarity": {"treshold": 1}}}, "unknown parameters.*known: threshold"),
        ({"matcher": {"similarity": {"threshold": "x"}}}, "Expected `float`"),
        ({"matcher": {"similarity": {"threshold": 2.0}}}, "between 0 and 1"),
        ({"matcher": "embedding"}, "needs the name of a sentence-transformers model"),
        ({"matcher": {"embedding": {"model": 3}}}, "or a function"),
        ({"matcher": 3}, "a matcher is a name"),
        ({"window": 3}, "no parameter 'window'"),
    ],
)
def test_mistakes_are_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(["grpo", {"salt": parameters}])
    assert "\n" not in str(caught.value)


words = st.sampled_from(["a", "b"])
playing = st.lists(st.tuples(words, words), max_size=4)
playings = st.lists(st.tuples(playing, st.integers(-2, 2)), min_size=1, max_size=5)
parameters = st.fixed_dictionaries(
    {"history": st.integers(1, 5), "unique_per_trajectory": st.booleans()}
)


def reference(batch: Batch, host: np.ndarray, history: int, unique: bool) -> list[float]:
    """The definition, turn by turn."""
    of_turn = batch.trajectory_of_turn()
    keys = []
    for i, (start, stop) in enumerate(pairwise(batch.turn_offsets)):
        past: list[Any] = [("root", batch.observations[start] if start < stop else "")]
        for t in range(start, stop):
            before = tuple(past[-history:])
            past.append((batch.actions[t], batch.next_observations[t]))
            group = batch.group_of_trajectory()[i]
            keys.append((group, before, batch.actions[t], tuple(past[-history:])))
    values = []
    for key in keys:
        same = [t for t, other in enumerate(keys) if other == key]
        if unique:
            same = list({of_turn[t]: t for t in same}.values())
        values.append(float(np.mean([host[t] for t in same])))
    return values


@given(shape=playings, parameters=parameters)
def test_equals_the_definition(shape: list[Any], parameters: dict[str, Any]) -> None:
    batch = Batch.from_trajectories(
        episode(i, steps, reward, group="gh"[i % 2]) for i, (steps, reward) in enumerate(shape)
    )
    host = assign(batch, "rloo")
    expected = reference(batch, host, parameters["history"], parameters["unique_per_trajectory"])
    assert Salt(**parameters)(batch, host, {}) == pytest.approx(expected, abs=1e-12)


@given(shape=playings, parameters=parameters, seed=st.integers(0, 2**32 - 1))
def test_order_names_and_observation_tokens_do_not_matter(
    shape: list[Any], parameters: dict[str, Any], seed: int
) -> None:
    played = [episode(i, steps, reward) for i, (steps, reward) in enumerate(shape)]
    order = np.random.default_rng(seed).permutation(len(played))
    again = [
        replace(episode(i, *shape[i], prompt=7), id=f"other {i}", group="other", task_id="?")
        for i in order
    ]
    method = ["grpo", Salt(**parameters)]
    left, right = Batch.from_trajectories(played), Batch.from_trajectories(again)
    values = np.split(assign(left, method), left.turn_offsets[1:-1])
    shuffled = np.split(assign(right, method), right.turn_offsets[1:-1])
    for position, i in enumerate(order):
        np.testing.assert_allclose(shuffled[position], values[i], atol=1e-12)
