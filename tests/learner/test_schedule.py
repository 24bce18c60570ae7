from __future__ import annotations

import pytest

from agentrl.config import LearnerConfig
from agentrl.errors import ConfigError
from agentrl.learner.schedule import check_schedule, learning_rate


def rates(total: int | None, **settings: object) -> list[float]:
    config = LearnerConfig(learning_rate=1.0, **settings)  # type: ignore[arg-type]
    return [learning_rate(config, step, total) for step in range(6)]


def test_constant_after_warmup() -> None:
    assert rates(None, warmup_steps=3) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_falls_to_zero_after_the_last_step() -> None:
    found = rates(4, schedule="cosine")
    assert found == pytest.approx([1.0, 0.853553, 0.5, 0.146447, 0.0, 0.0], abs=1e-6)


def test_cosine_starts_after_warmup() -> None:
    assert rates(4, schedule="cosine", warmup_steps=2)[:4] == pytest.approx([1 / 3, 2 / 3, 1, 0.5])


def test_cosine_needs_the_length_of_the_run() -> None:
    with pytest.raises(ConfigError, match="total_steps"):
        check_schedule(LearnerConfig(schedule="cosine"), None)
    check_schedule(LearnerConfig(schedule="cosine"), 10)
    check_schedule(LearnerConfig(), None)
