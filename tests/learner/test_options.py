"""Published defaults, and combinations that are refused with the nearest sensible one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from agentrl.config import LearnerConfig
from agentrl.errors import ConfigError
from agentrl.learner.options import (
    aggregation,
    check_options,
    clip_bounds,
    importance_level,
    mask_bounds,
    total_updates,
)


def check(**settings: Any) -> None:
    check_options(LearnerConfig(**settings), 100)


@pytest.mark.parametrize(
    ("loss", "bounds", "mode", "level"),
    [
        ("ppo", (0.2, 0.2), "token-mean", "token"),
        ("gspo", (3e-4, 4e-4), "seq-mean-token-mean", "sequence"),
        ("cispo", (1.0, 0.28), "token-mean", "token"),
    ],
)
def test_published_defaults(loss: str, bounds: tuple[float, float], mode: str, level: str) -> None:
    config = LearnerConfig(loss=loss)
    assert clip_bounds(config) == bounds
    assert aggregation(config) == mode
    assert importance_level(config) == level


def test_what_is_set_is_kept() -> None:
    config = LearnerConfig(
        loss="gspo", clip_low=0.1, clip_high=0.3, aggregation="token-mean", importance="none"
    )
    assert clip_bounds(config) == (0.1, 0.3)
    assert aggregation(config) == "token-mean"
    config = LearnerConfig(importance_mask="token", importance_mask_low=0.1)
    assert mask_bounds(config) == (0.1, 1.4)


def test_updates_of_a_run() -> None:
    assert total_updates(LearnerConfig(epochs=2, minibatches=4), 80) == 10
    assert total_updates(LearnerConfig(), 0) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "gspo"},
        {"loss": "gspo", "sequence": "turn", "importance": "icepop"},
        {"loss": "gspo", "importance_mask": "geometric"},
        {"loss": "cispo", "importance_mask": "token"},
        {"importance_level": "sequence", "importance_mask": "sequence"},
        {"covariance": "clip"},
        {"covariance": "kl"},
        {"covariance": "clip", "adaptive_clip": {}},
        {"adaptive_clip": {"first": "low", "low": [0.8, 0.95], "high": [1.2, 2.0]}},
        {"entropy_smoothing": {}},
        {"loss": "gspo", "entropy_smoothing": {"penalty": 0.05}},
    ],
)
def test_sensible_combinations(settings: dict[str, Any]) -> None:
    check(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "gspo", "importance_level": "token"}, "importance_level=sequence"),
        ({"loss": "gspo", "importance_mask": "token"}, "sequence, geometric or worst"),
        ({"loss": "gspo", "covariance": "clip"}, "learner.loss=ppo"),
        ({"loss": "cispo", "covariance": "kl"}, "learner.loss=ppo"),
        ({"covariance": "clip", "entropy_smoothing": {}}, "switch one of them off"),
        ({"covariance": "kl", "entropy_smoothing": {}}, "switch one of them off"),
        ({"covariance": "kl", "clip_high": 0.28}, "learner.covariance=clip"),
        ({"covariance": "kl", "adaptive_clip": {}}, "covariance none or clip"),
        ({"loss": "gspo", "adaptive_clip": {}}, "learner.loss=ppo"),
        ({"adaptive_clip": {}, "clip_low": 0.1}, "adaptive_clip.low"),
        ({"entropy_smoothing": {}, "entropy_coefficient": 0.01}, "entropy_coefficient=0"),
        ({"importance": "icepop", "importance_low": 6.0}, "from 6 to 5 is empty"),
        ({"importance_mask": "token", "importance_mask_low": 2.0}, "from 2 to 1.4 is empty"),
        ({"covariance": "clip", "covariance_low": 5.0}, "from 5 to 5 is empty"),
        ({"entropy_smoothing": {"low": 3.0}}, "from 3 to 2 is empty"),
        ({"adaptive_clip": {"low": [0.9, 0.6]}}, "below 1"),
        ({"adaptive_clip": {"high": [0.9, 3.0]}}, "above 1"),
    ],
)
def test_senseless_combinations(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check(**settings)
    assert "\n" not in str(caught.value)
    assert "learner." in str(caught.value)


def test_smoothing_needs_the_length_of_the_run() -> None:
    with pytest.raises(ConfigError, match="total_steps"):
        check_options(LearnerConfig(entropy_smoothing={}), None)


def test_checking_imports_nothing_heavy() -> None:
    code = "import sys, agentrl.learner.options; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
