from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.trajectory import Outcome, Trajectory, Turn


def episode(
    id_: str,
    rewards: Sequence[float],
    *,
    task: str = "t",
    tokens: int = 2,
    actions: Sequence[str] | None = None,
    invalid: Sequence[int] = (),
    outcome: Outcome | None = None,
    outcome_reward: float | None = None,
) -> Trajectory:
    turns = [
        Turn(
            "see",
            actions[i] if actions else "do",
            reward=reward,
            prompt_ids=np.zeros(3, np.int32),
            response_ids=np.zeros(tokens, np.int32),
            valid=i not in invalid,
        )
        for i, reward in enumerate(rewards)
    ]
    solved = Outcome.SUCCESS if sum(rewards) > 0 else Outcome.FAILURE
    made = Trajectory(id_, "g", task, turns, outcome or solved, outcome_reward=outcome_reward)
    return made


@pytest.fixture(scope="session")
def gather() -> Callable[..., Batch]:
    """Build a batch of one group from (rewards, options) of each episode."""

    def build(*episodes: tuple[Sequence[float], dict[str, Any]]) -> Batch:
        return Batch.from_trajectories(
            episode(f"e{i}", rewards, **options) for i, (rewards, options) in enumerate(episodes)
        )

    return build
