from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentrl import credit
from agentrl.batch import Batch
from agentrl.errors import CheckpointError, ConfigError, DataError, RegistryError
from agentrl.registry import names
from agentrl.rewards import InvalidAction, NoisyVerifier, Otc, Overlong, Renorm
from agentrl.rewards.base import RewardTransform
from agentrl.rewards.compose import (
    apply,
    check_with_credit,
    learn,
    load_state_dict,
    needs,
    parse,
    state_dict,
)
from agentrl.trajectory import Outcome

Gather = Callable[..., Batch]


def test_all_are_registered() -> None:
    wanted = {"invalid_action", "noisy_verifier", "otc", "overlong", "renorm"}
    assert set(names("rewards")) == wanted
    for name in wanted:
        (transform,) = parse([{name: {"max_calls": 4} if name == "otc" else None}])
        assert transform.name == name
        assert isinstance(transform, RewardTransform)


def test_entries_of_all_kinds_in_order() -> None:
    listed = [{"otc": {"max_calls": 8}}, "overlong", InvalidAction(0.5)]
    assert parse(listed) == [Otc(max_calls=8), Overlong(), InvalidAction(penalty=0.5)]
    assert parse("overlong") == [Overlong()]
    assert parse([]) == []


def test_one_of_ones_own(tmp_path: Path, gather: Gather) -> None:
    (tmp_path / "mine.py").write_text(
        "import dataclasses\n"
        "class Double:\n"
        "    name, stage, needs = 'double', 'outcome', frozenset()\n"
        "    def __call__(self, batch, signals):\n"
        "        return dataclasses.replace(batch, returns=2 * batch.returns)\n"
    )
    transforms = parse([f"{tmp_path}/mine.py:Double", "overlong"])
    assert apply(gather(([0.5, 0.5], {})), transforms).returns.tolist() == [2.0]


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        (
            ["overlang"],
            RegistryError,
            "unknown name 'overlang' in rewards; did you mean 'overlong'",
        ),
        (
            [{"overlong": {"limits": 3}}],
            ConfigError,
            "reward transform 'overlong' has no parameter",
        ),
        (["otc"], ConfigError, "reward transform 'otc': .* `max_calls`"),
        ([{"otc": {"max_calls": 0}}], ConfigError, "'otc': max_calls must be above 0"),
        ([{"otc": {"max_calls": 3, "alpha": 0.0}}], ConfigError, "'otc': alpha must be above 0"),
        ([{"otc": {"max_calls": 3, "tools": "("}}], ConfigError, "tools is not a regular expr"),
        ([{"otc": {"max_calls": 3, "form": "x"}}], ConfigError, "'otc': Invalid enum value"),
        ([{"overlong": {"buffer": 0}}], ConfigError, "buffer must be above 0 and at most"),
        ([{"overlong": {"factor": float("nan")}}], ConfigError, "must not be negative"),
        ([{"invalid_action": {"penalty": -1.0}}], ConfigError, "must not be negative"),
        ([{"invalid_action": {"penalty": "x"}}], ConfigError, "Expected `float`"),
        ([{"noisy_verifier": {"false_positive": 1.0}}], ConfigError, "at least 0 and below 1"),
        ([{"renorm": {"last": "first"}}], ConfigError, "Invalid enum value"),
        ([3], ConfigError, "a reward entry is a name, .* or a transform, not 3"),
    ],
)
def test_mistakes_are_named(entries: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse(entries)
    assert "\n" not in str(caught.value)


OTC = {"otc": {"max_calls": 3}}


@pytest.mark.parametrize(
    ("entries", "message", "instead"),
    [
        (
            ["overlong", OTC],
            "'otc' .outcome. must stand before",
            "[{otc: {max_calls: 3}}, overlong]",
        ),
        (["invalid_action", "renorm"], "'renorm' .turns. must", "[renorm, invalid_action]"),
        (["renorm", OTC], "'otc' .outcome. must", "[{otc: {max_calls: 3}}, renorm]"),
        (["invalid_action", "noisy_verifier"], "must", "[noisy_verifier, invalid_action]"),
        (["overlong", "overlong"], "name 'overlong' twice", "[overlong]"),
        (["noisy_verifier", "renorm"], "'renorm' needs outcomes", "[noisy_verifier]"),
        (["noisy_verifier", OTC, "overlong"], "'otc' needs", "[noisy_verifier, overlong]"),
    ],
)
def test_lists_that_make_no_sense(entries: list[Any], message: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(entries)
    suggested = str(caught.value).rpartition("; use ")[2]
    assert suggested == instead
    parse(yaml.safe_load(suggested))


def test_nothing_is_changed_in_place_and_the_order_counts(gather: Gather) -> None:
    batch = gather(([0.0, 1.0], {"invalid": [0]}), ([0.0, 0.0], {}))
    before = batch.rewards.copy(), batch.returns.copy()
    after = apply(batch, parse([{"otc": {"max_calls": 4}}, {"invalid_action": {"penalty": 0.25}}]))
    # No call was needed, for the invalid turn was none: the whole outcome is earned.
    assert after.rewards.tolist() == [-0.25, 1.0, 0.0, 0.0]
    assert after.returns.tolist() == [0.75, 0.0]
    assert (batch.rewards.tolist(), batch.returns.tolist()) == (
        before[0].tolist(),
        before[1].tolist(),
    )
    assert apply(batch, []) is batch


shapes = st.lists(st.lists(st.sampled_from([0.0, 0.25]), max_size=3), min_size=1, max_size=4)
beyonds = st.sampled_from([None, 1.0])
ADDING = [NoisyVerifier(0.1, 0.2), Overlong(limit=4, buffer=4), InvalidAction()]


@pytest.mark.parametrize("transform", ADDING, ids=lambda transform: transform.name)
@given(shape=shapes, beyond=beyonds)
def test_what_an_episode_earned_beyond_its_turns_stays(
    gather: Gather, transform: Any, shape: list[list[float]], beyond: float | None
) -> None:
    batch = gather(*((row, {"outcome_reward": beyond, "invalid": [0]}) for row in shape))
    after = apply(batch, [transform])
    owner, played = batch.trajectory_of_turn(), np.diff(batch.turn_offsets) > 0
    left = [
        (one.returns - np.bincount(owner, one.rewards, minlength=one.num_trajectories))[played]
        for one in (batch, after)
    ]
    assert left[1] == pytest.approx(left[0])


@given(shape=shapes, beyond=beyonds)
def test_tool_efficiency_scales_turns_and_outcome_alike(
    gather: Gather, shape: list[list[float]], beyond: float | None
) -> None:
    batch = gather(*((row, {"outcome_reward": beyond}) for row in shape))
    after = apply(batch, [Otc(max_calls=4, alpha=0.5)])
    owner = batch.trajectory_of_turn()
    crossed = batch.rewards * after.returns[owner]
    assert after.rewards * batch.returns[owner] == pytest.approx(crossed)
    assert (after.returns <= 0.5 * batch.returns + 1e-12).all()


def test_a_missing_signal_is_named(gather: Gather) -> None:
    transforms = parse("renorm")
    assert needs(transforms) == {"process_score"}
    assert needs(parse(["overlong"])) == frozenset()
    with pytest.raises(ConfigError, match=r"'renorm' needs the signal 'process_score', .*: value"):
        apply(gather(([1.0], {})), transforms, {"value": np.zeros(1)})


def test_what_is_learnt_survives_a_restart(gather: Gather) -> None:
    transforms = parse([{"otc": {"max_calls": 8}}, "overlong"])
    batch = gather(([0, 0, 0, 1.0], {}), ([0, 1.0], {}), ([0, 0.0], {"task": "other"}))
    before = apply(batch, transforms)
    learn(transforms, batch)
    state = json.loads(json.dumps(state_dict(transforms)))
    assert state == {"otc": {"t": 1}}
    again = parse([{"otc": {"max_calls": 8}}, "overlong"])
    load_state_dict(again, state)
    later = gather(([0, 0, 0, 1.0], {}))
    assert apply(later, again).returns == pytest.approx(before.returns[:1])
    assert apply(later, parse([{"otc": {"max_calls": 8}}])).returns == pytest.approx([1.0])
    with pytest.raises(CheckpointError, match="nothing of reward transform 'otc'"):
        load_state_dict(again, {})
    load_state_dict(parse("overlong"), {})


def test_a_correction_that_credit_would_cancel_is_refused_at_start_up() -> None:
    noisy = NoisyVerifier(0.1, 0.2)
    with pytest.raises(ConfigError, match="does nothing"):
        check_with_credit([noisy], credit.parse("grpo"))
    check_with_credit([noisy], credit.parse("rloo"))
    check_with_credit([noisy], credit.parse("gae"))
    check_with_credit([noisy, Overlong()], credit.parse("grpo"))
    check_with_credit([noisy], credit.parse("grpo"), other_rewards=True)
    check_with_credit([Overlong()], credit.parse("grpo"))
    weights = NoisyVerifier(0.0, 0.2, form="forward")
    with pytest.raises(ConfigError, match=r"forward correction .* use 'gae'"):
        check_with_credit([weights, Overlong()], credit.parse("rloo"))
    check_with_credit([weights], credit.parse("gae"))


def test_next_to_a_price_a_correction_is_not_cancelled(gather: Gather) -> None:
    """The reason why it may stay: the same price weighs less."""
    batch = gather(([1.0], {}), ([0.0], {"invalid": [0]}), ([0.0], {}), ([1.0], {}))
    plain = credit.assign(apply(batch, [InvalidAction(0.5)]), "grpo")
    noisy = credit.assign(apply(batch, [NoisyVerifier(0.1, 0.2), InvalidAction(0.5)]), "grpo")
    assert not np.allclose(plain, noisy, atol=1e-2)
    alone = credit.assign(apply(batch, [NoisyVerifier(0.1, 0.2)]), "grpo")
    assert alone == pytest.approx(credit.assign(batch, "grpo"), abs=1e-5)


@pytest.mark.parametrize(
    ("transform", "reward", "message"),
    [
        (Otc(max_calls=3), -0.5, "'otc' needs outcomes that are at least 0; .* earned -0.5"),
        (Otc(max_calls=3), float("nan"), "'e1' of group 'g' earned nan"),
        (Renorm(), 2.0, "'renorm' needs outcomes that are between 0 and 1; .* 'e1' .* earned 2"),
        (NoisyVerifier(0.1), 10.0, "'noisy_verifier' needs outcomes .* earned 10"),
    ],
)
def test_rewards_that_mean_nothing_to_a_transform(
    gather: Gather, transform: Any, reward: float, message: str
) -> None:
    batch = gather(([1.0], {}), ([reward], {}))
    with pytest.raises(DataError, match=message):
        apply(batch, [transform], {"process_score": np.zeros(2)})


@pytest.mark.parametrize("name", ["otc", "noisy_verifier", "overlong", "invalid_action", "renorm"])
def test_degenerate_batches(gather: Gather, name: str) -> None:
    (transform,) = parse([{name: {"max_calls": 4} if name == "otc" else None}])
    empty = Batch.from_trajectories([])
    assert transform(empty, {"process_score": np.zeros(0)}).returns.shape == (0,)
    batch = gather(([], {}), ([0.0, 1.0], {"tokens": 0}), ([], {"outcome": Outcome.CANCELLED}))
    after = transform(batch, {"process_score": np.full(2, 0.5)})
    assert after.rewards.shape == (2,)
    assert after.returns.shape == (2,)
    assert np.isfinite(after.returns).all()
