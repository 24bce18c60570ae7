"""BM25's arithmetic by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agentrl.environments.webshop.bm25 import (
    decode_length,
    encode_length,
    idf,
    inverse_norms,
    term_scores,
)


@pytest.mark.parametrize(
    ("length", "kept"),
    [(0, 0), (23, 23), (24, 24), (39, 39), (40, 40), (41, 40), (42, 42), (107, 104), (1000, 984)],
)
def test_lengths_keep_four_significant_bits(length: int, kept: int) -> None:
    assert decode_length(encode_length(length)) == kept


def test_length_codes_ascend_and_fit_a_byte() -> None:
    codes = [encode_length(length) for length in range(5000)]
    assert codes == sorted(codes)
    assert encode_length(2**31 - 1) == 255
    assert all(encode_length(decode_length(code)) == code for code in range(256))


def test_a_score_by_hand() -> None:
    norm = 1 / (0.9 * (1 - 0.4 + 0.4 * 40 / 50))
    weight = idf(1000, 10)
    score = term_scores(weight, np.array([3 * inverse_norms(50)[encode_length(40)]]))
    assert math.isclose(weight, math.log(1 + 990.5 / 10.5), rel_tol=1e-6)
    assert math.isclose(score[0], weight * 3 * norm / (1 + 3 * norm), rel_tol=1e-5)
    assert score.dtype == np.float32
