from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.credit import assign
from agentrl.credit.gae import FINAL_VALUE, Gae
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Outcome, Trajectory, Turn

Make = Callable[..., Trajectory]


def at_sampled(batch: Batch, values: list[float]) -> dict[str, np.ndarray]:
    """The signal with the values at sampled tokens, and nonsense where tokens were read."""
    signal = np.full(batch.num_tokens, np.nan)
    signal[batch.sampled] = values
    return {"value": signal}


def one(make: Make, rewards: list[float], tokens: list[int], **options: object) -> Batch:
    return Batch.from_trajectories([replace(make("g", 0, rewards, tokens), **options)])


TWO_TURNS = ([0, 1], [2, 2], [0.1, 0.2, 0.3, 0.5])


@pytest.mark.parametrize(
    ("method", "rewards", "tokens", "values", "expected"),
    [
        (Gae(), [1], [5], [0.1, 0.2, 0.3, 0.4, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5]),
        (
            Gae(lambda_token=0.95),
            [1],
            [5],
            [0.1, 0.2, 0.3, 0.4, 0.5],
            [0.778241, 0.713937, 0.646250, 0.575, 0.5],
        ),
        (
            # The tokens of two turns follow one another as those of one do.
            Gae(lambda_token=0.95),
            [0, 1],
            [2, 3],
            [0.1, 0.2, 0.3, 0.4, 0.5],
            [0.778241, 0.713937, 0.646250, 0.575, 0.5],
        ),
        (Gae(mode="bi_level", gamma_turn=0.95), *TWO_TURNS, [0.85, 0.75, 0.7, 0.5]),
        (
            Gae(mode="dual_discount", gamma_turn=0.9, lambda_turn=0.95),
            *TWO_TURNS,
            [0.7685, 0.6685, 0.7, 0.5],
        ),
    ],
)
def test_worked_examples_per_token(
    make_trajectory: Make,
    method: Gae,
    rewards: list[float],
    tokens: list[int],
    values: list[float],
    expected: list[float],
) -> None:
    batch = one(make_trajectory, rewards, tokens)
    got = assign(batch, method, at_sampled(batch, values))
    assert got[batch.sampled] == pytest.approx(expected, abs=1e-6)
    assert (got[~batch.sampled] == 0).all()


def test_worked_example_per_turn(make_trajectory: Make) -> None:
    batch = one(make_trajectory, [0, 0, 1], [2, 1, 3])
    # The value that counts is the one at the turn's last token.
    given_signals = at_sampled(batch, [9, 0.2, 0.4, 9, 9, 0.6])
    method = Gae(mode="turn", gamma_turn=0.9, lambda_turn=0.95)
    got = assign(batch, method, given_signals)
    assert got == pytest.approx([0.572110, 0.482, 0.4], abs=1e-6)
    targets, mask = method.value_targets(batch, given_signals)
    assert np.flatnonzero(mask).tolist() == [3, 6, 11]
    assert targets[mask] == pytest.approx([0.772110, 0.882, 1.0], abs=1e-6)


def test_turn_advantages_of_the_bi_level_example(make_trajectory: Make) -> None:
    batch = one(make_trajectory, *TWO_TURNS[:2])
    got = assign(batch, Gae(mode="turn", gamma_turn=0.95), at_sampled(batch, TWO_TURNS[2]))
    assert got == pytest.approx([0.75, 0.5])


@pytest.mark.parametrize("mode", ["token", "dual_discount", "bi_level"])
def test_value_targets_are_advantage_plus_value(make_trajectory: Make, mode: str) -> None:
    batch = one(make_trajectory, *TWO_TURNS[:2])
    given_signals = at_sampled(batch, TWO_TURNS[2])
    method = Gae(mode=mode, gamma_turn=0.9, lambda_token=0.8)
    targets, mask = method.value_targets(batch, given_signals)
    assert mask.tolist() == batch.sampled.tolist()
    advantages = assign(batch, method, given_signals)
    assert targets[mask] == pytest.approx((advantages + given_signals["value"])[mask])
    assert (targets[~mask] == 0).all()


CUT = {"outcome": Outcome.TRUNCATED_TURNS}


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # Without a final value, the value of the last known state (0.5) stands in for it.
        (Gae(gamma_token=0.5), [0.5**4 * 0.5 - 0.1, 0.5**3 * 0.5 - 0.2, -0.175, -0.25]),
        (Gae(mode="turn", gamma_turn=0.5), [0.25 * 0.5 - 0.2, 0.5 * 0.5 - 0.5]),
        (Gae(mode="turn", gamma_turn=0.5, bootstrap=False), [-0.2, -0.5]),
    ],
)
def test_truncated_episodes_bootstrap(
    make_trajectory: Make, method: Gae, expected: list[float]
) -> None:
    batch = one(make_trajectory, [0, 0], [2, 2], **CUT)
    got = assign(batch, method, at_sampled(batch, TWO_TURNS[2]))
    assert got[got != 0] == pytest.approx(expected)
    ended = one(make_trajectory, [0, 0], [2, 2])
    end = assign(ended, method, at_sampled(ended, TWO_TURNS[2]))
    assert end[-1] == pytest.approx(-0.5)


@pytest.mark.parametrize("mode", ["token", "turn", "dual_discount", "bi_level"])
def test_a_final_value_is_used_where_the_episode_was_cut(make_trajectory: Make, mode: str) -> None:
    cut, ended = (make_trajectory("g", i, [0, 0], [2, 2]) for i in range(2))
    batch = Batch.from_trajectories([replace(cut, **CUT), ended])
    given_signals = at_sampled(batch, TWO_TURNS[2] * 2) | {FINAL_VALUE: np.array([0.7, 99.0])}
    method = Gae(mode=mode)
    got = assign(batch, method, given_signals)
    ends = [1, 3] if mode == "turn" else np.flatnonzero(batch.sampled)[[3, 7]]
    assert got[ends] == pytest.approx([0.2, -0.5])
    why = method.explain(batch, None, given_signals)
    assert json.loads(json.dumps(why, allow_nan=False)) == why
    assert why[1] == {"reward": 0.0, "value": 0.5, "bootstrap": 0.7}
    assert why[3] == {"reward": 0.0, "value": 0.5}


def test_turns_without_tokens_hand_their_reward_back(make_trajectory: Make) -> None:
    holed = one(make_trajectory, [0, 1, 0.5], [2, 0, 2])
    plain = one(make_trajectory, [1, 0.5], [2, 2])
    for mode in ("token", "dual_discount", "bi_level"):
        method = Gae(mode=mode, gamma_turn=0.9)
        left = assign(holed, method, at_sampled(holed, TWO_TURNS[2]))
        right = assign(plain, method, at_sampled(plain, TWO_TURNS[2]))
        assert left[holed.sampled] == pytest.approx(right[plain.sampled])
    per_turn = assign(holed, Gae(mode="turn"), at_sampled(holed, TWO_TURNS[2]))
    assert per_turn == pytest.approx([1.5 - 0.2, 0, 0.5 - 0.5])


def test_an_outcome_that_no_turn_earned_is_paid_at_the_end(make_trajectory: Make) -> None:
    batch = one(make_trajectory, [0, 0], [1, 1], outcome_reward=2.0)
    got = assign(batch, Gae(mode="turn", gamma_turn=0.5), at_sampled(batch, [0.0, 0.0]))
    assert got == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize("mode", ["token", "turn", "dual_discount", "bi_level"])
def test_nothing_to_estimate(make_trajectory: Make, mode: str) -> None:
    method = Gae(mode=mode)
    for batch in (
        Batch.from_trajectories([]),
        Batch.from_trajectories([make_trajectory("g", 0, [], [])]),
        Batch.from_trajectories([make_trajectory("g", 0, [1, 0], [0, 0])]),
    ):
        got = assign(batch, method, {"value": np.zeros(batch.num_tokens)})
        assert (got == 0).all()
        assert not method.value_targets(batch, {"value": np.zeros(batch.num_tokens)}).mask.any()


steps = st.lists(
    st.tuples(st.integers(-4, 4).map(lambda n: n / 4), st.integers(0, 3)), min_size=1, max_size=5
)


@given(
    shape=st.lists(st.tuples(steps, st.booleans()), min_size=1, max_size=5),
    pairs=st.tuples(*[st.sampled_from([0.0, 0.5, 0.9, 1.0])] * 4),
    mode=st.sampled_from(["token", "turn", "dual_discount", "bi_level"]),
    seed=st.integers(0, 99),
)
def test_equals_a_plain_loop(
    make_trajectory: Make, shape: list, pairs: tuple[float, ...], mode: str, seed: int
) -> None:
    trajectories = []
    for i, (rows, cut) in enumerate(shape):
        made = make_trajectory("g", i, [r for r, _ in rows], [n for _, n in rows])
        trajectories.append(replace(made, **CUT) if cut else made)
    batch = Batch.from_trajectories(trajectories)
    values = np.random.default_rng(seed).normal(size=int(batch.sampled.sum()))
    method = Gae(mode, *pairs)
    got = assign(batch, method, at_sampled(batch, values.tolist()))
    expected = loop(batch, at_sampled(batch, values.tolist())["value"], method)
    np.testing.assert_allclose(got, expected, atol=1e-9)


def loop(batch: Batch, signal: np.ndarray, method: Gae) -> np.ndarray:
    """The estimator as one would write it down, trajectory by trajectory."""
    per_token, per_turn = np.zeros(batch.num_tokens), np.zeros(batch.num_turns)
    for i in range(batch.num_trajectories):
        turns: list[tuple[int, list[int], float]] = []
        for t in range(batch.turn_offsets[i], batch.turn_offsets[i + 1]):
            span = range(batch.token_offsets[t], batch.token_offsets[t + 1])
            own = [n for n in span if batch.sampled[n]]
            if own:
                turns.append((t, own, float(batch.rewards[t])))
            elif turns:
                turns[-1] = (*turns[-1][:2], turns[-1][2] + float(batch.rewards[t]))
        if not turns:
            continue
        beyond = signal[turns[-1][1][-1]] if batch.truncated[i] else 0.0
        one_trajectory(turns, signal, beyond, method, per_token, per_turn)
    return per_turn if method.mode == "turn" else per_token


def one_trajectory(
    turns: list[tuple[int, list[int], float]],
    signal: np.ndarray,
    beyond: float,
    method: Gae,
    per_token: np.ndarray,
    per_turn: np.ndarray,
) -> None:
    following, carry = beyond, 0.0
    for turn, own, reward in reversed(turns):
        value = signal[own[-1]]
        delta = reward + method.gamma_turn * following - value
        carry = delta + method.gamma_turn * method.lambda_turn * carry
        per_turn[turn], following = carry, value
    following, carry = beyond, 0.0
    for turn, own, reward in reversed(turns):
        if method.mode == "bi_level":
            following, carry, reward = 0.0, 0.0, per_turn[turn] + signal[own[-1]]
        for n in reversed(own):
            at_end = method.mode == "dual_discount" and n == own[-1]
            gamma = method.gamma_turn if at_end else method.gamma_token
            trace = method.lambda_turn if at_end else method.lambda_token
            delta = (reward if n == own[-1] else 0.0) + gamma * following - signal[n]
            carry = delta + gamma * trace * carry
            per_token[n], following = carry, signal[n]


def test_missing_values_name_the_trajectory(make_trajectory: Make) -> None:
    batch = Batch.from_trajectories([make_trajectory("g", i, [0, 1], [1, 2]) for i in range(2)])
    with pytest.raises(DataError, match=r"turn 1 of trajectory 'g#1' of group 'g'"):
        assign(batch, "gae", at_sampled(batch, [0.1, 0.2, 0.3, 0.4, 0.5, float("inf")]))
    with pytest.raises(ConfigError, match="'value', which was not given"):
        assign(batch, "gae")
    with pytest.raises(ConfigError, match="one value per token"):
        assign(batch, "gae", {"value": np.zeros(4)})
    with pytest.raises(ConfigError, match=r"'final_value' .* shape \(2,\)"):
        assign(batch, "gae", at_sampled(batch, [0.1] * 6) | {FINAL_VALUE: np.zeros(4)})


@pytest.mark.parametrize(
    "parameters", [{"mode": "tokens"}, {"gamma_token": 1.5}, {"lambda_turn": -1}]
)
def test_senseless_parameters(parameters: dict) -> None:
    with pytest.raises(ConfigError, match="gae"):
        Gae(**parameters)


@pytest.mark.parametrize("mode", ["token", "dual_discount", "bi_level"])
def test_piece_by_piece(monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    rng = np.random.default_rng(0)

    def turn() -> Turn:
        read, said = (np.zeros(int(rng.integers(0, most)), np.int32) for most in (4, 5))
        return Turn("o", "a", reward=float(rng.random()), prompt_ids=read, response_ids=said)

    episodes = [
        Trajectory(f"{i}", "g", "t", [turn() for _ in range(int(rng.integers(0, 6)))],
                   Outcome.SUCCESS if i % 2 else Outcome.TRUNCATED_TURNS)
        for i in range(20)
    ]  # fmt: skip
    batch = Batch.from_trajectories(episodes)
    signals = {"value": rng.normal(size=batch.num_tokens)}
    method = Gae(mode=mode, gamma_token=0.9, lambda_token=0.8, gamma_turn=0.7, lambda_turn=0.6)
    whole = method(batch, None, signals)
    for piece in (1, 3, 17):
        monkeypatch.setattr("agentrl.credit.gae._PIECE", piece)
        np.testing.assert_allclose(method(batch, None, signals), whole, atol=1e-12)
