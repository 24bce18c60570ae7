from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import Grpo, Stored, assign, explain
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals

LISTS: list[Any] = [
    ["grpo"],
    ["grpo", "salt"],
    ["rloo", {"gigpo": {"normaliser": "mean_norm"}}],
    ["grpo", {"graph_value": {"mode": "graphgpo"}}],
    ["grpo", "igpo", "empg"],
    ["rloo", "oprl"],
    ["dr_grpo", "whiten"],
    ["bnpo"],
    ["dr_mas"],
    ["spo"],
    ["reinforce_pp"],
    ["reinforce_pp_baseline"],
    [{"reinforce_pp": {"kl_coefficient": 0.1}}],
    ["gae", "whiten"],
]


def turn(key: str, action: str, entropies: list[float], **more: Any) -> dict[str, Any]:
    count = len(entropies)
    return {
        "state_key": key,
        "action": action,
        "observation": f"after {action}",
        "token_entropy": entropies,
        "logprobs": [-0.5 * (i + 1) for i in range(count)],
        "ref_logprobs": [-0.7] * count,
        "prm_log_ratio": 0.1 * count,
        "value": [0.1 * i for i in range(count)],
        "answer_logprob_before": -2.0,
        "answer_logprob": -1.0 - 0.3 * count,
        **more,
    }


RECORDS = [
    {
        "group": "a",
        "id": "1",
        "outcome": 1.0,
        "turns": [turn("x", "go", [0.5, 1.5]), turn("y", "take", [0.25])],
    },
    {
        "group": "b",
        "id": "1",
        "outcome": 0.0,
        "turns": [turn("z", "wait", [0.5])],
    },
    {
        "group": "a",
        "id": "2",
        "outcome": 0.0,
        "turns": [turn("x", "go", [2.0, 1.0, 0.0]), turn("y", "drop", []), turn("x", "go", [1.0])],
    },
]


@pytest.fixture(scope="module")
def stored() -> Stored:
    return Stored.from_records(RECORDS)


@pytest.mark.parametrize("methods", LISTS, ids=str)
def test_advantages_are_those_of_assign(stored: Stored, methods: Any) -> None:
    explained = explain(stored.batch, methods, stored.signals)
    assert np.array_equal(
        explained.advantages, assign(stored.batch, methods, stored.signals), equal_nan=True
    )
    names = [next(iter(m)) if isinstance(m, dict) else m for m in methods]
    assert len(explained.why) == stored.batch.num_turns
    for value, records in zip(explained.per_turn, explained.why, strict=True):
        assert [record["method"] for record in records] == names
        assert records[-1]["value"] == pytest.approx(value)
    json.dumps(explained.why, allow_nan=False)


@pytest.mark.parametrize("methods", LISTS, ids=str)
def test_every_method_has_a_reason_for_some_turn(stored: Stored, methods: Any) -> None:
    explained = explain(stored.batch, methods, stored.signals)
    for at, name in enumerate(record["method"] for record in explained.why[0]):
        assert any("because" in of_turn[at] for of_turn in explained.why), name


def test_each_value_is_what_that_method_left(stored: Stored) -> None:
    explained = explain(stored.batch, ["grpo", "igpo", "empg"], stored.signals)
    for count, methods in enumerate((["grpo"], ["grpo", "igpo"], ["grpo", "igpo", "empg"]), 1):
        values = assign(stored.batch, methods, stored.signals)
        assert [records[count - 1]["value"] for records in explained.why] == values.tolist()


def test_whiten_says_what_it_took_out(stored: Stored) -> None:
    explained = explain(stored.batch, ["dr_grpo", "whiten"])
    for host, whiten in explained.why:
        taken = whiten["because"]
        assert whiten["value"] == pytest.approx((host["value"] - taken["mean"]) / taken["std"])


def test_salt_gets_the_value_that_stood_before(stored: Stored) -> None:
    explained = explain(stored.batch, ["rloo", "salt"])
    for host, salt in explained.why:
        assert salt["because"]["advantage_before"] == host["value"]


def test_a_turns_value_is_the_mean_over_its_sampled_tokens(stored: Stored) -> None:
    explained = explain(stored.batch, ["gae"], stored.signals)
    assert explained.advantages.shape == (stored.batch.num_tokens,)
    bounds = stored.batch.token_offsets
    expected = [
        explained.advantages[bounds[t] : bounds[t + 1]].mean() if bounds[t + 1] > bounds[t] else 0.0
        for t in range(stored.batch.num_turns)
    ]
    assert explained.per_turn.tolist() == pytest.approx(expected)
    assert [records[0]["value"] for records in explained.why] == pytest.approx(expected)


def test_as_many_tokens_as_turns_are_not_mixed_up() -> None:
    turns = [turn("x", "go", [0.5, 1.5]), turn("y", "take", [])]
    stored = Stored.from_records([{"group": "a", "id": "1", "outcome": 1.0, "turns": turns}])
    assert stored.batch.num_tokens == stored.batch.num_turns == 2
    explained = explain(stored.batch, ["gae"], stored.signals)
    assert explained.per_turn.tolist() == pytest.approx([explained.advantages.mean(), 0.0])


def test_values_per_token_on_request(stored: Stored) -> None:
    explained = explain(stored.batch, ["grpo"], level="token")
    assert np.array_equal(explained.advantages, assign(stored.batch, ["grpo"], level="token"))
    assert explained.per_turn.tolist() == assign(stored.batch, ["grpo"]).tolist()


@dataclass(frozen=True, slots=True)
class Counting:
    """A refiner that counts its calls and explains as it is told."""

    why: Why | None = None
    calls: list[int] = field(default_factory=list)
    name: ClassVar[str] = "counting"
    stage: ClassVar[Stage] = "refine"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        assert advantages is not None
        self.calls.append(1)
        values = 2 * advantages
        values[0] = np.nan
        return values

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        return self.why if self.why is not None else [{} for _ in range(batch.num_turns)]


def test_methods_are_called_once_and_numbers_that_json_lacks_are_none(stored: Stored) -> None:
    method = Counting()
    explained = explain(stored.batch, ["grpo", method])
    assert method.calls == [1]
    assert explained.why[0][1] == {"method": "counting", "value": None}
    assert np.isnan(explained.per_turn[0])


def test_reasons_for_too_few_turns_are_refused(stored: Stored) -> None:
    with pytest.raises(ConfigError, match="'counting' explained 1 turns of 6"):
        explain(stored.batch, ["grpo", Counting(why=[{"a": 1}])])


def test_an_empty_batch_has_nothing_to_explain() -> None:
    explained = explain(Batch.from_trajectories([]), [Grpo(), "salt"])
    assert explained.why == []
    assert explained.per_turn.shape == (0,)


def test_outcome_estimators_say_what_they_compared(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([[1, 0, 0], [5]])
    because = [records[0]["because"] for records in explain(batch, "grpo").why]
    assert because[0] == {
        "return": 1.0,
        "mean": pytest.approx(1 / 3),
        "std": pytest.approx(np.std([1, 0, 0], ddof=1)),
        "compared": 3,
    }
    assert because[3]["compared"] == 1
    because = [records[0]["because"] for records in explain(batch, "rloo").why]
    assert because[1] == {"return": 0.0, "mean_of_others": 0.5, "others": 2}
    assert because[3] == {"return": 5.0, "mean_of_others": 0.0, "others": 0}
    because = [records[0]["because"] for records in explain(batch, "dr_grpo").why]
    assert because[2] == {"return": 0.0, "mean": pytest.approx(1 / 3), "compared": 3}
