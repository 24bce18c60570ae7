"""Importance weights and rejection against numbers worked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.config import LearnerConfig
from agentrl.learner.importance import importance_ratios, importance_weights, rejected_tokens


def weights(ratios: list[float], **settings: Any) -> list[float]:
    return importance_weights(torch.tensor(ratios), LearnerConfig(**settings)).tolist()


def rejected(ratios: list[float], sequences: list[int] | None = None, **settings: Any) -> list[int]:
    """Return the indices of rejected tokens."""
    found = rejected_tokens(
        np.log(ratios),
        np.ones(len(ratios), np.bool_),
        np.array(sequences or range(len(ratios))),
        LearnerConfig(**settings),
    )
    return np.flatnonzero(found).tolist()


def test_ratios_are_constants() -> None:
    old = torch.log(torch.tensor([0.5, 0.4, 0.1])).requires_grad_()
    rollout = torch.log(torch.tensor([0.5, 0.1, 0.4]))
    ratios = importance_ratios(old, rollout)
    torch.testing.assert_close(ratios, torch.tensor([1.0, 4.0, 0.25]))
    assert not ratios.requires_grad


def test_the_ratio_of_a_sequence_is_the_product() -> None:
    old = torch.log(torch.tensor([0.5, 0.4, 0.1]))
    rollout = torch.log(torch.tensor([0.25, 0.1, 0.4]))
    ratios = importance_ratios(old, rollout, torch.tensor([2, 1]))
    torch.testing.assert_close(ratios, torch.tensor([8.0, 8.0, 0.25]))


def test_ratios_never_overflow() -> None:
    ratios = importance_ratios(torch.zeros(2), torch.tensor([-400.0, -400.0]), torch.tensor([2]))
    assert torch.isfinite(ratios).all()


def test_tis_truncates() -> None:
    assert weights([0.1, 1.0, 2.0, 7.0]) == pytest.approx([0.1, 1.0, 2.0, 2.0])
    assert weights([0.1, 7.0], importance_cap=5.0) == pytest.approx([0.1, 5.0])


def test_icepop_drops_what_is_outside() -> None:
    """0.5 to 5, both included."""
    ratios = [0.49, 0.5, 1.0, 5.0, 5.01]
    assert weights(ratios, importance="icepop") == [0.0, 0.5, 1.0, 5.0, 0.0]


def test_none_weighs_alike() -> None:
    assert weights([0.1, 7.0], importance="none") == [1.0, 1.0]


def test_tokens_are_rejected_one_by_one() -> None:
    assert rejected([0.5, 0.61, 1.39, 1.5], [0, 0, 0, 0], importance_mask="token") == [0, 3]


def test_sequences_are_rejected_by_their_product() -> None:
    """1.5 * 1.5 = 2.25 > 2; 2.5 * 0.5 = 1.25."""
    ratios, sequences = [1.5, 1.5, 2.5, 0.5], [3, 3, 8, 8]
    assert rejected(ratios, sequences, importance_mask="sequence") == [0, 1]
    wide = {"importance_mask_low": 0.1, "importance_mask_high": 3.0}
    assert rejected(ratios, sequences, importance_mask="sequence", **wide) == []


def test_sequences_are_rejected_by_their_geometric_mean() -> None:
    """(1.5 * 1.5)^(1/2) = 1.5; (2.5 * 0.4)^(1/2) = 1."""
    ratios, sequences = [1.5, 1.5, 2.5, 0.4], [0, 0, 1, 1]
    assert rejected(ratios, sequences, importance_mask="geometric") == [0, 1]


def test_sequences_are_rejected_by_their_worst_token() -> None:
    ratios, sequences = [1.0, 1e-5, 1.0, 2e4, 1.0, 1e-3], [0, 0, 1, 1, 2, 2]
    assert rejected(ratios, sequences, importance_mask="worst") == [0, 1, 2, 3]


def test_only_chosen_tokens_make_a_sequence() -> None:
    gaps = np.array([math.log(1.9), math.log(1.9), 0.0])
    chosen = np.array([True, False, True])
    config = LearnerConfig(importance_mask="sequence")
    assert not rejected_tokens(gaps, chosen, np.zeros(3, np.int64), config).any()
    chosen[:] = True
    assert rejected_tokens(gaps, chosen, np.zeros(3, np.int64), config).all()


def test_nothing_chosen_rejects_nothing() -> None:
    config = LearnerConfig(importance_mask="sequence")
    nothing = np.zeros(2, np.bool_)
    assert not rejected_tokens(np.zeros(2), nothing, np.zeros(2, np.int64), config).any()
