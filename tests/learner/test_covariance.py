"""Covariances and what is picked by them, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from agentrl.learner.covariance import clip_cov_tokens, covariances, kl_cov_tokens


def test_covariances() -> None:
    advantages, logprobs = np.array([1.0, -1.0, 3.0]), np.array([-1.0, -2.0, -6.0])
    np.testing.assert_allclose(covariances(advantages, logprobs), [0.0, -2.0, -6.0])
    found = covariances(advantages, logprobs)
    assert found.mean() == pytest.approx(np.cov(advantages, logprobs, ddof=0)[0, 1])
    assert covariances(np.zeros(0), np.zeros(0)).tolist() == []


@pytest.mark.parametrize(
    ("tokens", "count"), [(1, 1), (4_999, 1), (5_000, 1), (10_000, 2), (14_999, 2), (100_000, 20)]
)
def test_how_many_are_picked(tokens: int, count: int) -> None:
    """max(1, floor(2e-4 n))"""
    values = np.linspace(1.5, 4.5, tokens)
    nothing = np.zeros(tokens, np.bool_)
    rng = np.random.default_rng(0)
    muted = clip_cov_tokens(values, nothing, low=1.0, high=5.0, share=2e-4, rng=rng)
    assert muted.sum() == count
    held = kl_cov_tokens(values, share=2e-4)
    assert np.flatnonzero(held).tolist() == list(range(tokens - count, tokens))


def test_clip_cov_draws_among_candidates_only() -> None:
    values = np.array([0.9, 1.0, 1.1, 4.9, 5.0, 9.0, 2.0, 2.5])
    is_clipped = np.array([False] * 7 + [True])
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        muted = clip_cov_tokens(values, is_clipped, low=1.0, high=5.0, share=0.25, rng=rng)
        assert muted.sum() == 2
        seen |= set(np.flatnonzero(muted).tolist())
    assert seen == {2, 3, 6}


def test_clip_cov_follows_its_generator() -> None:
    values, nothing = np.full(100, 2.0), np.zeros(100, np.bool_)
    draws = [
        clip_cov_tokens(
            values, nothing, low=1.0, high=5.0, share=0.05, rng=np.random.default_rng(seed)
        )
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_no_candidate_mutes_nothing() -> None:
    values, nothing = np.zeros(10), np.zeros(10, np.bool_)
    rng = np.random.default_rng(0)
    assert not clip_cov_tokens(values, nothing, low=1.0, high=5.0, share=0.5, rng=rng).any()
    assert kl_cov_tokens(np.zeros(0), share=0.5).tolist() == []


def test_kl_cov_takes_the_first_among_equals() -> None:
    assert kl_cov_tokens(np.array([1.0, 2.0, 2.0, 2.0]), share=0.5).tolist() == [
        False,
        True,
        True,
        False,
    ]
