from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.batch import Batch
from agentrl.config import LearnerConfig
from agentrl.errors import DataError
from agentrl.learner.learner import Learner
from agentrl.learner.logprobs import score
from agentrl.learner.packing import MAX_PADDING, decision_tokens, pack, segment_bounds
from agentrl.learner.policy import Policy
from agentrl.trajectory import Allowed, Outcome, Trajectory, Turn

MakeBatch = Callable[..., Batch]


def turn(prompt: list[int], response: list[int], *, starts: bool = True, allowed=None) -> Turn:
    return Turn(
        "",
        "",
        prompt_ids=np.array(prompt, np.int32),
        response_ids=np.array(response, np.int32),
        logprobs=np.zeros(len(response), np.float32),
        starts_segment=starts,
        allowed=allowed,
    )


def batch_of(*episodes: list[Turn]) -> Batch:
    return Batch.from_trajectories(
        Trajectory(str(i), "g", "t", turns, Outcome.SUCCESS) for i, turns in enumerate(episodes)
    )


def test_a_segment_is_a_row_of_its_turns() -> None:
    batch = batch_of(
        [turn([1, 2], [3, 4]), turn([5], [6], starts=False), turn([7, 8], [9])], [turn([10], [11])]
    )
    packs = pack(batch, decision_tokens(batch), pack_tokens=8)
    rows = [row[: np.flatnonzero(row)[-1] + 1].tolist() for p in packs for row in p.ids]
    # The last sampled token of a row is only predicted, never read.
    assert rows == [[1, 2, 3, 4, 5], [7, 8], [10]]
    predicted = np.concatenate([p.targets for p in packs])
    assert predicted.tolist() == [3, 4, 6, 9, 11]
    first = packs[0]
    assert first.ids.reshape(-1)[first.positions].tolist() == [2, 3, 5]


def test_rows_end_at_the_last_wanted_token() -> None:
    batch = batch_of([turn([1, 2], [3]), turn([4], [5], starts=False)], [turn([6], [7])])
    wanted = decision_tokens(batch)
    wanted[3:] = False
    (only,) = pack(batch, wanted, pack_tokens=100)
    assert only.ids.tolist() == [[1, 2]]
    assert only.targets.tolist() == [3]


def test_nothing_wanted_needs_no_pack(make_batch: MakeBatch) -> None:
    batch = make_batch(3)
    assert pack(batch, np.zeros(batch.num_tokens, np.bool_), pack_tokens=8) == []
    empty = Batch.from_trajectories([])
    assert pack(empty, decision_tokens(empty), pack_tokens=8) == []


def test_turns_without_tokens_are_harmless() -> None:
    batch = batch_of([turn([], [])], [turn([1], [2]), turn([], [], starts=False)], [])
    (only,) = pack(batch, decision_tokens(batch), pack_tokens=8)
    assert only.targets.tolist() == [2]


def test_a_first_token_that_nothing_predicts_is_no_decision() -> None:
    batch = batch_of([turn([], [3, 4])])
    assert decision_tokens(batch).tolist() == [False, True]


def test_forced_tokens_are_no_decisions_unless_sets_are_ignored() -> None:
    forced = Allowed(np.array([3, 4, 5], np.int32), np.array([1, 2], np.int32))
    batch = batch_of([turn([1], [3, 4], allowed=forced)])
    assert decision_tokens(batch).tolist() == [False, False, True]
    assert decision_tokens(batch, restricted=False).tolist() == [False, True, True]


def test_sets_come_along_padded() -> None:
    sets = Allowed(np.array([3, 9, 4, 5, 6], np.int32), np.array([2, 3], np.int32))
    batch = batch_of([turn([1], [3, 4], allowed=sets)], [turn([1], [7])])
    packs = pack(batch, decision_tokens(batch), pack_tokens=100)
    found = {
        int(t): sorted(a[:c].tolist())
        for p in packs
        for t, a, c in zip(p.targets, p.allowed, p.allowed_counts, strict=True)
    }
    assert found == {3: [3, 9], 4: [4, 5, 6], 7: []}


def test_a_token_outside_its_set_is_refused() -> None:
    sets = Allowed(np.array([8, 9], np.int32), np.array([2], np.int32))
    batch = batch_of([turn([1], [3], allowed=sets)])
    with pytest.raises(DataError, match="not in the set"):
        pack(batch, decision_tokens(batch), pack_tokens=8)
    assert len(pack(batch, decision_tokens(batch), pack_tokens=8, restricted=False)) == 1


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 60), min_size=1, max_size=30),
    budget=st.integers(1, 200),
)
def test_budget_padding_and_coverage(lengths: list[int], budget: int) -> None:
    batch = batch_of(*([turn([1] * (n - 1), [2])] for n in lengths))
    wanted = decision_tokens(batch)
    packs = pack(batch, wanted, pack_tokens=budget)
    seen = np.concatenate([p.tokens for p in packs])
    assert sorted(seen.tolist()) == np.flatnonzero(wanted).tolist()
    for p in packs:
        assert p.ids.size <= budget or len(p.ids) == 1
        assert (p.ids == 0).sum() <= MAX_PADDING * p.ids.size


def gradients(policy: Policy, batch: Batch, pack_tokens: int) -> dict[str, torch.Tensor]:
    """Return the gradients of a weighted sum of all log-probabilities and entropies."""
    policy.model.zero_grad()
    weights = torch.linspace(-1, 1, batch.num_tokens)
    for rows in pack(batch, decision_tokens(batch), pack_tokens=pack_tokens):
        scores = score(policy.model, rows, temperature=0.7, entropy_gradient=True)
        part = weights[torch.from_numpy(rows.tokens)]
        (part * scores.logprobs + 0.1 * part * scores.entropies).sum().backward()
    return {n: p.grad.clone() for n, p in policy.trainable().items() if p.grad is not None}


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("windowed", [False, True])
def test_packed_and_unpacked_gradients_agree(
    policy: Policy, make_batch: MakeBatch, restricted: bool, windowed: bool
) -> None:
    batch = make_batch(10, restricted=restricted, windowed=windowed)
    one_by_one = gradients(policy, batch, 1)
    assert len(pack(batch, decision_tokens(batch), pack_tokens=1)) > 5
    packed = gradients(policy, batch, 4096)
    assert packed.keys() == one_by_one.keys() != set()
    for name, gradient in packed.items():
        torch.testing.assert_close(gradient, one_by_one[name], rtol=1e-5, atol=1e-4)


def test_segments_cannot_influence_one_another(policy: Policy, make_batch: MakeBatch) -> None:
    import dataclasses

    batch = make_batch(8, turns=(2, 3))
    wanted = decision_tokens(batch)
    starts, ends = segment_bounds(batch)
    ids = batch.token_ids.copy()
    ids[starts[0] : ends[0]] = (ids[starts[0] : ends[0]] + 5) % 24
    changed = dataclasses.replace(batch, token_ids=ids)
    learner = Learner(policy, LearnerConfig(pack_tokens=4096), seed=0)
    before = learner.signals(batch, ["old_logprob"])["old_logprob"]
    after = learner.signals(changed, ["old_logprob"])["old_logprob"]
    own = np.zeros(batch.num_tokens, np.bool_)
    own[starts[0] : ends[0]] = True
    np.testing.assert_array_equal(before[~own], after[~own])
    assert (before[own & wanted] != after[own & wanted]).all()
