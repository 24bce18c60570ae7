"""EPO's corridor, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from agentrl.config import EntropySmoothingConfig
from agentrl.errors import CheckpointError
from agentrl.learner.entropy_smoothing import EntropyHistory, smoothing_share


@pytest.mark.parametrize(("update", "share"), [(0, 2.0), (75, 1.0498), (150, 1.0025)])
def test_beta(update: int, share: float) -> None:
    assert smoothing_share(update, 150, 3.0) == pytest.approx(share, abs=5e-5)


def test_beta_of_odd_and_short_runs() -> None:
    """The half is floor(K / 2)."""
    assert smoothing_share(2, 5, 3.0) == pytest.approx(1 + math.exp(-3))
    assert smoothing_share(1, 1, 3.0) == pytest.approx(1 + math.exp(-3))


def test_the_first_update_has_no_corridor() -> None:
    corridor = EntropyHistory(EntropySmoothingConfig(), 10).corridor()
    assert corridor.beta == 2.0
    entropies = torch.tensor([0.0, 5.0])
    assert corridor.penalties(entropies).tolist() == [0.0, 0.0]
    torch.testing.assert_close(corridor.losses(entropies), -0.001 * entropies)


def test_penalties_outside_the_corridor_pull_back() -> None:
    """Hbar = 1, corridor 0.5 to 2: relu(0.5 - H) + relu(H - 2), times 0.1."""
    config = EntropySmoothingConfig(low=0.5, high=2.0, weight=0.01)
    history = EntropyHistory(config, 4)
    for value in (0.5, 1.0, 1.5):
        history.append(value)
    corridor = history.corridor()
    assert corridor.centre == pytest.approx(1.0)
    assert corridor.beta == pytest.approx(1 + math.exp(-3 * 3 / 2))
    entropies = torch.tensor([0.2, 1.0, 3.0]).requires_grad_()
    torch.testing.assert_close(corridor.penalties(entropies).detach(), torch.tensor([0.03, 0, 0.1]))
    corridor.losses(entropies).sum().backward()
    assert entropies.grad is not None
    slope = corridor.beta * 0.1
    expected = -0.01 * torch.tensor([1 + slope, 1.0, 1 - slope])
    torch.testing.assert_close(entropies.grad, expected)


def test_the_history_is_kept_and_checked() -> None:
    history = EntropyHistory(EntropySmoothingConfig(), 4)
    history.append(1.0)
    history.append(math.nan)
    assert history.values == [1.0]
    history.load({"entropy_history": [0.25, 0.75]})
    assert history.corridor().centre == 0.5
    with pytest.raises(CheckpointError, match="no history of entropies"):
        history.load({})
