from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.trajectory import Outcome, Trajectory, Turn

Groups = Sequence[Sequence[float]]
"""The return of each trajectory of each group."""


def trajectory(
    group: str, index: int, rewards: Sequence[float], tokens: Sequence[int], prompt: int = 2
) -> Trajectory:
    turns = [
        Turn(
            observation=f"see {position}",
            action=f"do {position}",
            reward=reward,
            prompt_ids=np.arange(prompt, dtype=np.int32),
            response_ids=np.arange(count, dtype=np.int32) + 100,
            logprobs=np.full(count, -0.5, np.float32),
            starts_segment=position == 0,
        )
        for position, (reward, count) in enumerate(zip(rewards, tokens, strict=True))
    ]
    solved = sum(rewards) > 0
    outcome = Outcome.SUCCESS if solved else Outcome.FAILURE
    return Trajectory(f"{group}#{index}", group, f"task {group}", turns, outcome)


@pytest.fixture(scope="session")
def make_trajectory() -> Callable[..., Trajectory]:
    return trajectory


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """Build a batch of one-turn trajectories from returns (and token counts) by group."""

    def build(groups: Groups, tokens: Sequence[Sequence[int]] | None = None) -> Batch:
        counts = tokens if tokens is not None else [[1] * len(group) for group in groups]
        return Batch.from_trajectories(
            trajectory(f"g{g}", i, [reward], [counts[g][i]])
            for g, group in enumerate(groups)
            for i, reward in enumerate(group)
        )

    return build
