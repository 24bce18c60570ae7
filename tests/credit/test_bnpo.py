from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from agentrl.batch import Batch
from agentrl.credit import Bnpo, assign, explain
from agentrl.credit.bnpo import beta_log_density, beta_of_means
from agentrl.errors import ConfigError, DataError

Make = Callable[..., Batch]

WORKED = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1]]
"""Success rates .25, .5, .75, .5."""


def test_worked_example(make_batch: Make) -> None:
    values = assign(make_batch(WORKED), "bnpo")
    assert values[:4] == pytest.approx([0.667379, -0.222460, -0.222460, -0.222460], abs=1e-6)
    assert values[8:12] == pytest.approx([0.222460, 0.222460, 0.222460, -0.667379], abs=1e-6)
    assert values[4:8] == pytest.approx(np.array([0.5, 0.5, -0.5, -0.5]) / 1.428251, abs=1e-6)


def test_the_fit_of_the_worked_example(make_batch: Make) -> None:
    why = [records[0]["because"] for records in explain(make_batch(WORKED), "bnpo").why]
    for parameter in ("alpha", "beta"):
        assert [w[parameter] for w in why] == pytest.approx([1.833333] * 16, abs=1e-6)
    assert [why[i]["mean"] for i in (0, 4, 8, 12)] == [0.25, 0.5, 0.75, 0.5]
    assert why[0]["density"] == pytest.approx(1.123800, abs=1e-6)
    assert why[4]["density"] == pytest.approx(1.428251, abs=1e-6)
    assert why[0]["weight"] == pytest.approx(1 / 1.123800, abs=1e-6)
    assert (why[0]["return"], why[0]["compared"]) == (1.0, 4)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.0, 3.5), (2.2, 1.0), (40.0, 1.5)])
def test_the_density(alpha: float, beta: float) -> None:
    at = np.linspace(0, 1, 21)
    expected = stats.beta(alpha, beta).pdf(at)
    assert np.exp(beta_log_density(at, alpha, beta)) == pytest.approx(expected, rel=1e-9)


def test_one_group_is_reinforce_with_a_baseline(make_batch: Make) -> None:
    values = assign(make_batch([[1, 0, 0, 0]]), "bnpo")
    assert values == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_equal_means_have_nothing_to_be_normalised_by(make_batch: Make) -> None:
    values = assign(make_batch([[1, 0], [0, 1], [0.7, 0.3]]), "bnpo")
    assert values == pytest.approx([0.5, -0.5, -0.5, 0.5, 0.2, -0.2])


def test_means_as_far_apart_as_can_be() -> None:
    assert beta_of_means(np.array([0.0, 1.0])) == (1.0, 1.0)


def test_equal_returns_teach_nothing(make_batch: Make) -> None:
    values = assign(make_batch([[0] * 4, [1] * 4, [0.1] * 7, [1, 0], [1, 0, 0]]), "bnpo")
    assert (values[:15] == 0).all()
    assert (values[15:] != 0).all()


def test_an_episode_alone_keeps_its_reward(make_batch: Make) -> None:
    batch = make_batch([[1], [0.5], *WORKED])
    why = explain(batch, "bnpo").why[0][0]["because"]
    assert (why["mean"], why["density"], why["weight"]) == (0.0, 0.0, 1.0)
    assert assign(batch, "bnpo")[:2] == pytest.approx([1.0, 0.5])


def test_the_weight_is_clamped(make_batch: Make) -> None:
    rates = [[1e-9, 0.0], *[[0.5, 0.5]] * 200]
    assert assign(make_batch(rates), "bnpo")[:2] == pytest.approx([5e-4, -5e-4])
    capped = assign(make_batch(rates), [{"bnpo": {"max_weight": 2.0}}])
    assert capped[:2] == pytest.approx([1e-9, -1e-9])


def test_rewards_of_another_scale(make_batch: Make) -> None:
    wide = [[20.0 * r - 10.0 for r in group] for group in WORKED]
    scaled = assign(make_batch(wide), [{"bnpo": {"lowest": -10.0, "highest": 10.0}}])
    assert scaled == pytest.approx(assign(make_batch(WORKED), "bnpo"))


@pytest.mark.parametrize("reward", [1.5, -0.25])
def test_rewards_out_of_bounds_are_refused(make_batch: Make, reward: float) -> None:
    with pytest.raises(DataError, match="trajectory 'g1#1' of group 'g1' earned") as caught:
        assign(make_batch([[0, 1], [1, reward]]), "bnpo")
    assert "from 0 to 1" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"lowest": 1.0}, "lowest must be below highest"),
        ({"highest": float("inf")}, "lowest must be below highest"),
        ({"lowest": float("nan")}, "lowest must be below highest"),
        ({"max_weight": 0.0}, "max_weight must be above 0"),
    ],
)
def test_parameters_that_make_no_sense(parameters: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Bnpo(**parameters)
