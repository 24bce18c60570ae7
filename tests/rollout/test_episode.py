from __future__ import annotations

import numpy as np
import pytest
from rollout_doubles import ByteDialogue, Ladder, ScriptEngine, climb, requests

from agentrl.batch import Batch
from agentrl.config import RolloutConfig, SamplingConfig
from agentrl.rollout.collector import Collector
from agentrl.rollout.stats import environment_means
from agentrl.trajectory import Outcome


async def play(policy, *, env=Ladder, dialogue=ByteDialogue, groups=1, size=1, **config):
    engine = ScriptEngine(policy)
    options = RolloutConfig(**{"retries": 0, **config})
    async with Collector(env, dialogue, engine, options) as collector:
        collected = await collector.collect(requests(groups, size))
    return collected, engine


async def first(policy, **options):
    collected, _ = await play(policy, **options)
    return (collected.trajectories + collected.lost)[0]


async def test_success_records_every_field():
    collected, engine = await play(climb)
    trajectory = collected.trajectories[0]
    height = int(trajectory.answer)
    assert trajectory.outcome is Outcome.SUCCESS
    assert (trajectory.id, trajectory.group, trajectory.task_id) == ("g0/0", "g0", "train/0")
    assert (trajectory.environment, trajectory.split, trajectory.seed) == ("Ladder", "train", 100)
    assert trajectory.sampling == {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
    assert len(trajectory.turns) == height
    assert [turn.reward for turn in trajectory.turns] == [0.125] * (height - 1) + [1.0]
    assert trajectory.turns[0].observation == f"A ladder of {height} rungs."
    assert [t.observation for t in trajectory.turns[1:]] == [f"Rung {i}." for i in range(1, height)]
    assert trajectory.final_observation == "The top."
    assert [t.state_key for t in trajectory.turns] == [f"{height}:{i}" for i in range(height)]
    assert trajectory.final_state_key == f"{height}:{height}"
    assert trajectory.metrics == {"share": 1.0, "height": float(height)}
    assert [t.starts_segment for t in trajectory.turns] == [True] + [False] * (height - 1)
    assert all(t.action == t.completion == "up" and t.valid for t in trajectory.turns)
    assert engine.released == ["g0/0"]


async def test_tokens_in_the_record_are_those_the_engine_read_and_sampled():
    collected, engine = await play(climb)
    batch = Batch.from_trajectories(collected.trajectories)
    last = engine.requests[-1].prompt_ids
    sampled = batch.token_ids[batch.sampled]
    np.testing.assert_array_equal(batch.token_ids[: len(last)], last)
    assert bytes(sampled.tolist()) == b"up\n" * batch.num_turns
    assert collected.stats.tokens_sampled == batch.sampled.sum()
    assert collected.stats.tokens_read == (~batch.sampled).sum()


async def test_failure():
    trajectory = await first(lambda request, turn: "down")
    assert trajectory.outcome is Outcome.FAILURE
    assert trajectory.reward == -1.0


async def test_the_environments_turn_limit_truncates():
    trajectory = await first(lambda *_: "wait", env=lambda: Ladder(max_turns=4))
    assert trajectory.outcome is Outcome.TRUNCATED_TURNS
    assert len(trajectory.turns) == 4
    assert trajectory.final_observation == "Nothing happens."


async def test_unparsable_turns_count_against_the_limit_and_never_reach_the_environment():
    steps = []

    class Watched(Ladder):
        def on_step(self, action):
            steps.append(action)
            return super().on_step(action)

    trajectory = await first(
        lambda _, turn: "!" if turn % 2 else "wait", env=lambda: Watched(max_turns=5)
    )
    assert trajectory.outcome is Outcome.TRUNCATED_TURNS
    assert [turn.valid for turn in trajectory.turns] == [True, False, True, False, True]
    assert [turn.action for turn in trajectory.turns] == ["wait", "", "wait", "", "wait"]
    assert trajectory.turns[2].observation == "Say one word."
    assert trajectory.turns[1].reward == 0.0
    assert steps == ["wait"] * 3


async def test_a_last_unparsable_turn_leaves_its_problem_as_final_observation():
    trajectory = await first(lambda *_: "!", env=lambda: Ladder(max_turns=2))
    assert trajectory.outcome is Outcome.TRUNCATED_TURNS
    assert trajectory.final_observation == "Say one word."


async def test_invalid_limit_counts_both_kinds():
    trajectory = await first(
        lambda _, turn: ["hop", "wait", "!", "up"][turn], max_invalid_actions=2
    )
    assert trajectory.outcome is Outcome.INVALID_ACTION_LIMIT
    assert [turn.valid for turn in trajectory.turns] == [False, True, False]


async def test_a_winning_turn_is_not_an_invalid_limit():
    trajectory = await first(lambda _, turn: "hop" if turn == 0 else "up", max_invalid_actions=2)
    assert trajectory.outcome is Outcome.SUCCESS


async def test_context_overflow_is_an_outcome():
    trajectory = await first(lambda *_: "wait", dialogue=lambda: ByteDialogue(budget=100))
    assert trajectory.outcome is Outcome.TRUNCATED_CONTEXT
    assert trajectory.turns
    assert trajectory.final_observation == "Nothing happens."


async def test_sampling_settings_and_distinct_seeds_reach_the_engine():
    engine = ScriptEngine(climb)
    sampling = SamplingConfig(temperature=0.5, top_p=0.9, top_k=7)
    async with Collector(Ladder, ByteDialogue, engine, sampling=sampling) as collector:
        collected = await collector.collect(requests(2, 2))
    assert {
        (r.sampling.temperature, r.sampling.top_p, r.sampling.top_k) for r in engine.requests
    } == {(0.5, 0.9, 7)}
    seeds = [request.sampling.seed for request in engine.requests]
    assert len(set(seeds)) == len(seeds)
    assert all(request.info["task_id"] for request in engine.requests)
    assert collected.trajectories[0].sampling["top_k"] == 7


@pytest.mark.parametrize(
    "answer",
    [
        ("text", 0.0, False, False),
        (None, 0.0, False, False, {}),
        ("text", float("nan"), False, False, {}),
        ("text", "much", False, False, {}),
        ("text", 0.0, False, False, None),
        "nonsense",
    ],
)
async def test_a_broken_step_contract_is_an_environment_error(answer):
    class Broken(Ladder):
        def step(self, action):
            return answer

    class Mixed(Ladder):
        """Only one of two tasks breaks, so that the collection has something to return."""

        def step(self, action):
            return answer if self.task.id == "train/0" else super().step(action)

    collected, _ = await play(climb, env=Mixed, groups=2)
    assert [t.id for t in collected.trajectories] == ["g1/0"]
    assert collected.lost[0].outcome is Outcome.ENV_ERROR
    assert collected.lost[0].error.startswith("the environment")


async def test_a_broken_reset_contract_is_an_environment_error():
    class Broken(Ladder):
        def reset(self, **options):
            result = super().reset(**options)
            return result if self.task.id != "train/0" else result[0]

    collected, _ = await play(climb, env=Broken, groups=2)
    assert collected.lost[0].outcome is Outcome.ENV_ERROR


async def test_the_last_figures_of_the_environment_are_kept():
    cut = await first(climb, max_invalid_actions=1, env=Ladder)
    assert cut.metrics["share"] == 1.0
    fallen = await first(lambda request, turn: ["up", "down"][turn])
    assert fallen.metrics["share"] == pytest.approx(1 / int(fallen.answer))
    silent = await first(lambda request, turn: "!", max_invalid_actions=2)
    assert silent.metrics["share"] == 0.0
    assert {type(value) for value in silent.metrics.values()} == {float}


@pytest.mark.parametrize("given", [3, {"share": "much"}, {"share": None}, {"share": float("nan")}])
async def test_figures_that_are_none_are_an_environment_error(given):
    class Broken(Ladder):
        def metrics(self):
            return given if self.task.id == "train/0" else None

    collected, _ = await play(climb, env=Broken, groups=2)
    assert collected.lost[0].outcome is Outcome.ENV_ERROR
    assert "info['metrics'] must map names to finite numbers" in collected.lost[0].error
    assert collected.trajectories[0].metrics == {}


@pytest.mark.parametrize("name", ["answer", "state_key"])
@pytest.mark.parametrize("given", [5, np.int64(3), ("a", 1)])
async def test_what_no_file_can_hold_is_an_environment_error(name, given):
    class Broken(Ladder):
        pass

    setattr(Broken, name, lambda self: given if self.task.id == "train/0" else "text")
    collected, _ = await play(climb, env=Broken, groups=2)
    assert collected.lost[0].outcome is Outcome.ENV_ERROR
    assert f"info['{name}'] must be text" in collected.lost[0].error
    assert len(collected.trajectories) == 1


async def test_means_of_the_environments_figures():
    collected, _ = await play(climb, groups=3, size=2)
    heights = [float(t.answer) for t in collected.trajectories]
    collected.trajectories[0].metrics |= {"retries": 1.0, "rare": 4.0}
    means = environment_means(collected.trajectories)
    assert means == {"env/height": sum(heights) / 6, "env/rare": 4.0, "env/share": 1.0}
    assert environment_means([]) == {}
