"""The engine without a model: what it reads, writes and refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agentrl.engines.base import Request, Sampling
from agentrl.engines.scripted import ScriptedEngine
from agentrl.errors import ConfigError, EngineFault


class Letters:
    """One id per letter; 0 stops."""

    stop_ids = (0, 1)

    def encode(self, text: str):
        return np.array([ord(letter) for letter in text], np.int32)


def request(info=None, session="s", **settings):
    return Request(np.array([5], np.int32), Sampling(**settings), session=session, info=info or {})


def text(completion) -> str:
    assert completion.token_ids[-1] == 0
    return "".join(map(chr, completion.token_ids[:-1]))


async def test_oracle_writes_the_experts_action():
    engine = ScriptedEngine("oracle", codec=Letters(), write="Action: {}".format)
    completion = await engine.generate(request({"expert_action": "go east"}))
    assert text(completion) == "Action: go east"
    assert completion.finish_reason == "stop"
    assert not completion.logprobs.any()


async def test_oracle_without_an_expert_is_a_fault():
    engine = ScriptedEngine("oracle", codec=Letters())
    with pytest.raises(EngineFault, match="expert_action"):
        await engine.generate(request({"expert_action": None}))


async def test_random_covers_the_list_evenly_and_repeats_by_seed():
    engine = ScriptedEngine("random", codec=Letters())
    actions = ["a", "bb", "ccc", "dddd"]
    seen = []
    for seed in range(400):
        completion = await engine.generate(request({"admissible_actions": actions}, seed=seed))
        assert completion.logprobs[0] == pytest.approx(-math.log(4))
        assert not completion.logprobs[1:].any()
        seen.append(text(completion))
    counts = [seen.count(action) for action in actions]
    assert sum(counts) == 400
    # Five standard deviations of a binomial count.
    assert all(abs(count - 100) < 5 * math.sqrt(400 * 0.25 * 0.75) for count in counts)
    again = await engine.generate(request({"admissible_actions": actions}, seed=17))
    assert text(again) == seen[17]


async def test_random_without_a_list_writes_letters():
    engine = ScriptedEngine("random", codec=Letters())
    word = text(await engine.generate(request(seed=3)))
    assert word.isalpha()
    assert word == text(await engine.generate(request(seed=3)))


async def test_replay_answers_by_session_and_turn():
    recorded = {("a", 0): np.array([7, 0]), ("a", 1): np.array([8, 0]), ("b", 0): np.array([9, 0])}
    engine = ScriptedEngine("replay", replay=recorded)
    answers = [
        (await engine.generate(request(session=session))).token_ids.tolist()
        for session in ("a", "b", "a")
    ]
    assert answers == [[7, 0], [9, 0], [8, 0]]
    with pytest.raises(EngineFault, match="turn 2"):
        await engine.generate(request(session="a"))
    await engine.release("a")
    assert (await engine.generate(request(session="a"))).token_ids.tolist() == [7, 0]


async def test_the_token_limit_cuts_answers():
    engine = ScriptedEngine("oracle", codec=Letters())
    completion = await engine.generate(request({"expert_action": "abc"}, max_tokens=3))
    assert completion.token_ids.tolist() == [97, 98, 99]
    assert completion.finish_reason == "length"
    completion = await engine.generate(request({"expert_action": "abc"}, max_tokens=4))
    assert completion.finish_reason == "stop"


def test_missing_parts_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'oracle'"):
        ScriptedEngine("oracel", codec=Letters())
    with pytest.raises(ConfigError, match="codec"):
        ScriptedEngine("oracle")
    with pytest.raises(ConfigError, match="replay"):
        ScriptedEngine("replay")


async def test_score_is_certain():
    engine = ScriptedEngine("oracle", codec=Letters())
    assert (await engine.score(np.arange(5, dtype=np.int32))).tolist() == [0, 0, 0, 0]
