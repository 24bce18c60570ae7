"""Trajectories to write, and the formats they are written in."""

from __future__ import annotations

import numpy as np

from agentrl.trajectory import Outcome, Trajectory, Turn

SUFFIXES = [".jsonl", ".jsonl.zst", ".parquet"]
APPENDABLE = SUFFIXES[:2]


def example(index: int = 0, turn_count: int = 2) -> Trajectory:
    """Return a small episode; the same index gives the same one."""
    rng = np.random.default_rng(index)
    made = [
        Turn(
            observation=f"You see {position}.",
            action=f"take {position}",
            reward=0.1 * position,
            prompt_ids=rng.integers(0, 32000, 20, dtype=np.int32),
            response_ids=rng.integers(0, 32000, 6, dtype=np.int32),
            logprobs=-rng.random(6, dtype=np.float32),
            starts_segment=position == 0,
            state_key=f"room {position}",
        )
        for position in range(turn_count)
    ]
    return Trajectory(f"episode {index}", f"group {index // 4}", "task", made, Outcome.SUCCESS)
