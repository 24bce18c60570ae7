from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import Grpo, ReinforcePP, Whiten, assign, needs, parse, to_tokens
from agentrl.credit.base import Advantages, CreditMethod, Level, Stage
from agentrl.credit.levels import result_level
from agentrl.errors import ConfigError, DataError, RegistryError
from agentrl.trajectory import Signals, Trajectory

BUILT_IN = ["grpo", "dr_grpo", "rloo", "reinforce_pp", "reinforce_pp_baseline"]


@dataclass(frozen=True, slots=True)
class Scale:
    """A modulator that reads a signal."""

    name: ClassVar[str] = "scale"
    stage: ClassVar[Stage] = "modulate"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset({"entropy"})

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        assert advantages is not None
        return advantages * signals["entropy"]


@dataclass(frozen=True, slots=True)
class Refine:
    """A refiner at a level of choice."""

    level: Level = "turn"
    name: ClassVar[str] = "refine"
    stage: ClassVar[Stage] = "refine"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        assert advantages is not None
        return advantages + 1.0


@pytest.mark.parametrize("name", BUILT_IN)
def test_names_are_registered(name: str) -> None:
    (method,) = parse([name])
    assert method.name == name
    assert isinstance(method, CreditMethod)


def test_entries_of_all_kinds_in_order() -> None:
    methods = parse([{"grpo": {"ddof": 0, "eps": 1}}, Refine(), "whiten"])
    assert methods == [Grpo(ddof=0, eps=1.0), Refine(), Whiten()]
    assert parse("rloo")[0].name == "rloo"
    assert parse({"grpo": None}) == [Grpo()]


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ("gropo", RegistryError, "did you mean 'grpo'"),
        ({"grpo": {"dof": 1}}, ConfigError, "no parameter 'dof'; did you mean 'ddof'"),
        ({"grpo": {"name": "x"}}, ConfigError, "no parameter 'name'"),
        ({"grpo": {"ddof": "one"}}, ConfigError, "Expected `int`"),
        ({"grpo": {"ddof": 3}}, ConfigError, "ddof must be 0 or 1"),
        ({"grpo": [1]}, ConfigError, "parameter: value"),
        ([], ConfigError, "must begin with an outcome estimator"),
        (["whiten"], ConfigError, "must begin with an outcome estimator"),
        (["whiten", "grpo"], ConfigError, "must begin with an outcome estimator"),
        (["grpo", "rloo"], ConfigError, "two outcome estimators"),
        (["grpo", "whiten", Scale()], ConfigError, "'scale' .* must stand before 'whiten'"),
        ([{"reinforce_pp": {"kl_coefficient": 0.1}}, Refine()], ConfigError, "works per turn"),
        ([3], ConfigError, "a credit entry is"),
        ([Grpo], ConfigError, "a credit entry is"),
    ],
)
def test_mistakes_are_named(entries: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse(entries)
    assert "\n" not in str(caught.value)


def test_a_method_in_a_file_of_ones_own(tmp_path: Path, make_batch: Callable[..., Batch]) -> None:
    (tmp_path / "mine.py").write_text(
        "class Double:\n"
        "    name, stage, level, needs = 'double', 'refine', 'turn', frozenset()\n"
        "    def __call__(self, batch, advantages, signals):\n"
        "        return 2 * advantages\n"
    )
    batch = make_batch([[1, 0]])
    values = assign(batch, ["dr_grpo", f"{tmp_path}/mine.py:Double"])
    assert values.tolist() == [1.0, -1.0]


def test_needs_is_the_union() -> None:
    assert needs(["grpo"]) == frozenset()
    assert needs([ReinforcePP(kl_coefficient=0.1)]) == {"ref_logprob"}
    assert needs(["grpo", Scale()]) == {"entropy"}


def test_methods_run_one_after_the_other(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([[1, 0]])
    values = assign(batch, ["dr_grpo", Refine(), Scale()], {"entropy": np.array([2.0, 10.0])})
    assert values.tolist() == [3.0, 5.0]


def test_a_missing_signal_is_named(make_batch: Callable[..., Batch]) -> None:
    with pytest.raises(ConfigError, match=r"'scale' needs the signal 'entropy'.*given: value"):
        assign(make_batch([[1, 0]]), ["grpo", Scale()], {"value": np.zeros(2)})


def test_turn_values_are_spread_before_a_token_level_method(
    make_batch: Callable[..., Batch],
) -> None:
    batch = make_batch([[1, 0]], [[2, 1]])
    values = assign(batch, ["dr_grpo", Refine(level="token")])
    expected = to_tokens(batch, np.array([0.5, -0.5])) + 1.0
    assert values.tolist() == expected.tolist()


def test_a_method_of_the_wrong_shape_is_named(make_batch: Callable[..., Batch]) -> None:
    @dataclass(frozen=True)
    class Broken(Refine):
        def __call__(self, *_: Any) -> Advantages:
            return np.zeros(1)

    with pytest.raises(ConfigError, match=r"'refine' gave values of shape \(1,\)"):
        assign(make_batch([[1, 0]]), ["grpo", Broken()])


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_names_the_trajectory(
    make_trajectory: Callable[..., Trajectory], name: str, bad: float
) -> None:
    good = make_trajectory("kitchen", 0, [0.0], [1])
    broken = make_trajectory("kitchen", 1, [0.0, bad], [1, 1])
    with pytest.raises(DataError, match=r"'kitchen#1' of group 'kitchen' has reward .* at turn 1"):
        assign(Batch.from_trajectories([good, broken]), name)


def test_an_outcome_that_is_no_number_names_the_trajectory(
    make_batch: Callable[..., Batch],
) -> None:
    batch = replace(make_batch([[1, 0]]), returns=np.array([1.0, np.nan]))
    with pytest.raises(DataError, match=r"'g0#1' of group 'g0' has outcome nan"):
        assign(batch, "grpo")


@pytest.mark.parametrize("name", BUILT_IN)
def test_degenerate_batches(make_trajectory: Callable[..., Trajectory], name: str) -> None:
    assert assign(Batch.from_trajectories([]), name).shape == (0,)
    silent = make_trajectory("g", 0, [], [])
    empty_turn = make_trajectory("g", 1, [0.0, 1.0], [0, 2])
    values = assign(Batch.from_trajectories([silent, empty_turn]), name)
    assert values.shape == (2,)
    assert np.isfinite(values).all()


def test_to_tokens_fills_sampled_tokens_only(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([[1, 0]], [[2, 1]])
    values = to_tokens(batch, np.array([0.5, -0.5]))
    assert values.tolist() == [0, 0, 0.5, 0.5, 0, 0, -0.5]
    assert to_tokens(batch, values).tolist() == values.tolist()
    with pytest.raises(ConfigError, match="fit neither the 2 turns nor the 7 tokens"):
        to_tokens(batch, np.zeros(3))
    with pytest.raises(ConfigError, match="do not fit the 7 tokens"):
        to_tokens(batch, np.zeros(2), level="token")
    assert assign(batch, "dr_grpo", level="token").tolist() == values.tolist()


@pytest.fixture
def as_many_tokens_as_turns(make_trajectory: Callable[..., Trajectory]) -> Batch:
    """Three turns with 0, 2 and 1 tokens."""
    shape = [([0.0, 1.0], [0, 2]), ([0.0], [1])]
    made = [make_trajectory("g", i, *columns, prompt=0) for i, columns in enumerate(shape)]
    batch = Batch.from_trajectories(made)
    assert batch.num_tokens == batch.num_turns == 3
    return batch


def test_a_number_that_does_not_tell_the_level(as_many_tokens_as_turns: Batch) -> None:
    batch, values = as_many_tokens_as_turns, np.array([1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="3 advantages may be of the 3 turns or of the 3 tokens"):
        to_tokens(batch, values)
    with pytest.raises(ConfigError, match="say which"):
        Whiten()(batch, values, {})
    assert to_tokens(batch, values, "turn").tolist() == [2, 2, 3]
    assert to_tokens(batch, values, "token").tolist() == [1, 2, 3]


def test_a_list_knows_its_level(as_many_tokens_as_turns: Batch) -> None:
    batch = as_many_tokens_as_turns
    per_turn = assign(batch, ["dr_grpo", "whiten"])
    assert per_turn == pytest.approx([1 / np.sqrt(3)] * 2 + [-2 / np.sqrt(3)])
    spread = assign(batch, ["dr_grpo", "whiten"], level="token")
    assert spread.tolist() == per_turn[[1, 1, 2]].tolist()
    signals = {"ref_logprob": np.array([-1.0, -0.5, 0.0])}
    raw = assign(batch, [ReinforcePP(kl_coefficient=0.1)], signals)
    (host, whiten) = parse([ReinforcePP(kl_coefficient=0.1), "whiten"])
    assert (whiten.level, parse(["grpo", "whiten"])[1].level) == ("token", "turn")
    assert whiten(batch, raw * 3 + 1, signals) == pytest.approx(raw, abs=1e-6)
    assert [method.level for method in parse([host, whiten])] == ["token", "token"]
    assert result_level([host, whiten]) == "token"
    assert result_level(parse(["grpo", "whiten"])) == "turn"


def test_import_brings_neither_torch_nor_gymnasium() -> None:
    code = (
        "import sys, agentrl.credit; agentrl.credit.Grpo(); "
        "print([m for m in ('torch', 'transformers', 'gymnasium', 'pyarrow') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
