"""Drawing ids: the inverse of the cumulative distribution, truncation, determinism."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from agentrl.engines.base import Sampling
from agentrl.engines.embedded.sampler import draw, uniforms


def one(probabilities, number, **settings):
    logits = torch.tensor([probabilities], dtype=torch.float32).log()
    drawn = draw(logits, [Sampling(**settings)], [number])
    return int(drawn.indices[0]), float(drawn.logprobs[0])


@pytest.mark.parametrize(
    ("number", "expected"), [(0.0, 0), (0.19, 0), (0.21, 1), (0.49, 1), (0.51, 2), (0.999, 2)]
)
def test_inverts_the_cumulative_distribution(number, expected):
    index, logprob = one([0.2, 0.3, 0.5], number)
    assert index == expected
    assert logprob == pytest.approx(math.log([0.2, 0.3, 0.5][expected]), abs=1e-6)


def test_never_draws_what_is_ruled_out():
    for number in (0.0, 0.5, math.nextafter(1.0, 0.0)):
        assert one([0.0, 1.0, 0.0], number)[0] == 1


def test_temperature_reshapes_the_distribution():
    index, logprob = one([0.2, 0.8], 0.1, temperature=0.5)
    # 0.04 / (0.04 + 0.64) is below 0.1.
    assert index == 1
    assert logprob == pytest.approx(math.log(0.64 / 0.68), abs=1e-6)


def test_top_k_then_top_p():
    # top_k leaves 0.5, 0.3 -> 0.625, 0.375; top_p of 0.6 leaves the first alone.
    assert one([0.1, 0.5, 0.1, 0.3], 0.99, top_k=2) == (3, pytest.approx(math.log(0.375), abs=1e-6))
    assert one([0.1, 0.5, 0.1, 0.3], 0.99, top_k=2, top_p=0.6) == (1, pytest.approx(0.0, abs=1e-6))
    assert one([0.6, 0.4], 0.99, top_p=0.01) == (0, pytest.approx(0.0, abs=1e-6))


def test_temperature_zero_is_greedy_and_reports_temperature_one():
    assert one([0.2, 0.5, 0.3], 0.99, temperature=0.0) == (
        1,
        pytest.approx(math.log(0.5), abs=1e-6),
    )


def test_rows_do_not_disturb_each_other():
    torch.manual_seed(0)
    logits = torch.randn(6, 50)
    settings = [
        Sampling(),
        Sampling(temperature=0.7),
        Sampling(top_k=3),
        Sampling(top_p=0.5),
        Sampling(temperature=0.0),
        Sampling(temperature=2.0, top_k=20, top_p=0.9),
    ]
    numbers = np.random.default_rng(0).random(6).tolist()
    together = draw(logits, settings, numbers)
    for row in range(6):
        alone = draw(logits[row : row + 1], settings[row : row + 1], numbers[row : row + 1])
        assert alone.indices[0] == together.indices[row]
        assert alone.logprobs[0] == pytest.approx(together.logprobs[row], abs=1e-5)


def test_damaged_logits_show_as_nan():
    drawn = draw(torch.full((1, 4), torch.nan), [Sampling()], [0.5])
    assert np.isnan(drawn.logprobs[0])


def test_random_numbers_depend_on_the_seed_alone():
    first = uniforms(Sampling(seed=7, max_tokens=5))
    assert np.array_equal(first, uniforms(Sampling(seed=7, max_tokens=9))[:5])
    assert not np.array_equal(first, uniforms(Sampling(seed=8, max_tokens=5)))
    assert uniforms(Sampling(seed=-1, max_tokens=1)).shape == (1,)
    assert np.all((first >= 0) & (first < 1))
