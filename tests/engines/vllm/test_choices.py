from __future__ import annotations

import pytest

from agentrl.engines.vllm.choices import decode_choices
from agentrl.engines.vllm.wire import step_seed

CHOICES = ((10, 11, 1), (10, 12, 13, 1), (20, 1))


async def walk(picks: list[int], limit: int = 9, choices=CHOICES):
    asked: list[tuple[list[int], list[int], int]] = []

    async def ask(before: list[int], allowed: list[int], step: int) -> tuple[int, float]:
        asked.append((list(before), allowed, step))
        return picks[len(asked) - 1], -0.5

    return await decode_choices(choices, limit, ask), asked


async def test_asks_at_forks_only_and_what_follows_is_certain() -> None:
    (ids, logprobs), asked = await walk([10, 12])
    assert ids == [10, 12, 13, 1]
    assert logprobs == [-0.5, -0.5, 0.0, 0.0]
    assert asked == [([], [10, 20], 0), ([10], [11, 12], 1)]


async def test_the_only_choice_is_not_asked_for() -> None:
    (ids, logprobs), asked = await walk([], choices=((5, 6, 1),))
    assert (ids, logprobs, asked) == ([5, 6, 1], [0.0, 0.0, 0.0], [])


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_the_limit_cuts(limit: int) -> None:
    (ids, _), _ = await walk([10, 11], limit)
    assert ids == [10, 11, 1][:limit]


def test_each_step_has_a_seed_of_its_own() -> None:
    seeds = {step_seed(seed, step) for seed in range(50) for step in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 1 << 63 for seed in seeds)
