from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.credit.statistics import centred, constant_groups, group_statistics, whitened

labelled = st.lists(
    st.tuples(st.integers(0, 4), st.floats(-1e6, 1e6, allow_nan=False)), min_size=1, max_size=60
)


@pytest.mark.parametrize("ddof", [0, 1])
@given(pairs=labelled)
def test_group_statistics_equal_numpy_group_by_group(
    pairs: list[tuple[int, float]], ddof: int
) -> None:
    labels = np.array([label for label, _ in pairs])
    values = np.array([value for _, value in pairs])
    mean, std, size = group_statistics(values, labels, ddof=ddof)
    for label in set(labels.tolist()):
        members = values[labels == label]
        inside = labels == label
        assert (size[inside] == len(members)).all()
        if len(members) == 1:
            assert (mean[inside] == 0).all()
            assert (std[inside] == 1).all()
            continue
        np.testing.assert_allclose(mean[inside], members.mean(), rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(std[inside], members.std(ddof=ddof), rtol=1e-7, atol=1e-6)


def test_equal_values_have_exact_statistics() -> None:
    values = np.full(7, 0.1)  # 0.1 summed seven times and divided by 7 is not 0.1
    mean, std, _ = group_statistics(values, np.zeros(7, np.int64))
    assert (mean == 0.1).all()
    assert (std == 0).all()
    assert (centred(values, np.zeros(7, np.int64)) == 0).all()


def test_a_large_offset_does_not_swallow_the_spread() -> None:
    values = 1e12 + np.array([0.0, 1.0, 2.0])
    _, std, _ = group_statistics(values, np.zeros(3, np.int64))
    np.testing.assert_allclose(std, 1.0)


def test_constant_groups() -> None:
    values = np.array([1.0, 0.0, 1.0, 2.0, 5.0])
    labels = np.array([0, 1, 0, 1, 2])
    assert constant_groups(values, labels).tolist() == [True, False, True]


def test_whitened_counts_each_value_by_its_weight() -> None:
    values = np.array([1.0, 2.0, 4.0])
    weights = np.array([1.0, 3.0, 2.0])
    spelled_out = np.repeat(values, [1, 3, 2])
    expected = (values - spelled_out.mean()) / np.sqrt(spelled_out.var(ddof=1) + 1e-8)
    np.testing.assert_allclose(whitened(values, weights), expected)


def test_whitened_ignores_weightless_values_and_survives_few() -> None:
    with_outlier = whitened(np.array([1e9, 1.0, 2.0]), np.array([0.0, 1.0, 1.0]))
    np.testing.assert_allclose(with_outlier[1:], whitened(np.array([1.0, 2.0]), np.ones(2)))
    assert whitened(np.array([3.0]), np.ones(1)).tolist() == [0.0]
    assert whitened(np.empty(0), np.empty(0)).tolist() == []
