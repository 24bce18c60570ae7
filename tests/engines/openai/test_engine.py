"""The engine over a small endpoint: ids that stand for text, budgets, pausing and closing."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from agentrl.dialogue.messages import END
from agentrl.engines.base import Engine, Request, Sampling, Usage
from agentrl.engines.openai.engine import OpenAIEngine
from agentrl.errors import ConfigError, ContextOverflow, EngineFault


def request_for(engine: OpenAIEngine, text: str = "A room.", **sampling: Any) -> Request:
    settings = {"max_tokens": 7, "seed": 11, **sampling}
    return Request(engine.codec.start("Be brief.", text), Sampling(**settings), "episode")


async def engine_of(endpoint: Any, **options: Any) -> OpenAIEngine:
    return OpenAIEngine("parrot", base_url=endpoint.url, version=4, **options)


async def test_a_conversation_goes_out_as_messages(make_endpoint) -> None:
    endpoint = await make_endpoint()
    engine = await engine_of(endpoint)
    assert isinstance(engine, Engine)
    first = request_for(engine)
    said = await engine.generate(first)
    assert engine.codec.decode(said.token_ids) == "go north"
    assert said.token_ids[-1] == END
    assert (said.finish_reason, said.policy_version, said.tokens) == ("stop", 4, 3)
    assert np.isnan(said.logprobs).all()
    more = engine.codec.extend(first.prompt_ids, said.token_ids, "A wall.")
    whole = np.concatenate([first.prompt_ids, said.token_ids, more])
    await engine.generate(Request(whole, first.sampling, "episode"))
    assert endpoint.asked[-1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A room."},
        {"role": "assistant", "content": "go north"},
        {"role": "user", "content": "A wall."},
    ]
    await engine.close()


async def test_all_of_the_sampling_is_said(make_endpoint) -> None:
    endpoint = await make_endpoint()
    engine = await engine_of(endpoint, extra={"reasoning_effort": "low"}, omit=["seed"])
    await engine.generate(request_for(engine, temperature=0.5, top_k=5, seed=1 << 40))
    sent = {name: value for name, value in endpoint.asked[0].items() if name != "messages"}
    assert sent == {
        "model": "parrot",
        "temperature": 0.5,
        "top_p": 1.0,
        "top_k": 5,
        "max_tokens": 7,
        "reasoning_effort": "low",
    }
    await engine.close()


async def test_seeds_fit_into_31_bits(make_endpoint) -> None:
    endpoint = await make_endpoint()
    engine = await engine_of(endpoint)
    await engine.generate(request_for(engine, seed=(1 << 40) + 5))
    assert endpoint.asked[0]["seed"] == 5
    assert "top_k" not in endpoint.asked[0]
    await engine.close()


async def test_a_reply_that_was_cut(make_endpoint) -> None:
    endpoint = await make_endpoint(finish_reason="length", usage=None)
    engine = await engine_of(endpoint)
    said = await engine.generate(request_for(engine))
    assert said.finish_reason == "length"
    assert END not in said.token_ids
    # Nobody counted, but a reply that was cut is as long as the limit.
    assert said.tokens == 7
    await engine.close()


@pytest.mark.parametrize(
    "count", [-1, 2**31 + 1, 10**20, 10**400], ids=["negative", "more", "huge", "no float"]
)
async def test_a_count_that_cannot_be_is_none(make_endpoint, count: int) -> None:
    endpoint = await make_endpoint(
        finish_reason="length", usage={"prompt_tokens": count, "completion_tokens": count}
    )
    engine = await engine_of(endpoint, context_length=100)
    for _ in range(2):
        said = await engine.generate(request_for(engine))
        assert said.usage == Usage(0, 7)
    await engine.close()


async def test_a_model_that_thinks_its_tokens_away(make_endpoint) -> None:
    endpoint = await make_endpoint(reply="", finish_reason="length")
    engine = await engine_of(endpoint)
    with pytest.warns(UserWarning, match=r"raise dialogue\.max_turn_tokens"):
        said = await engine.generate(request_for(engine))
    assert len(said.token_ids) == 0
    await engine.close()


async def test_room_is_estimated_from_what_the_endpoint_counts(make_endpoint) -> None:
    """A token per byte here: of 100, a prompt of 30 bytes leaves 70."""
    endpoint = await make_endpoint()
    engine = await engine_of(endpoint, context_length=100)
    request = request_for(engine, "x" * 17, max_tokens=90)
    assert len(request.prompt_ids) == 29
    endpoint.usage = {"prompt_tokens": 29, "completion_tokens": 1}
    await engine.generate(request)
    assert endpoint.asked[-1]["max_tokens"] == 90
    await engine.generate(request)
    assert endpoint.asked[-1]["max_tokens"] == 71
    with pytest.raises(ContextOverflow, match="context_length=100"):
        await engine.generate(request_for(engine, "x" * 200))
    assert len(endpoint.asked) == 2
    await engine.close()


async def test_what_it_cannot_do(make_endpoint) -> None:
    engine = await engine_of(await make_endpoint())
    with pytest.raises(ConfigError, match="cannot score"):
        await engine.score(np.zeros(3, np.int32))
    with pytest.raises(ConfigError, match="cannot take weights"):
        await engine.load_weights(1, {})
    with pytest.raises(ConfigError, match="cannot restrict"):
        await engine.generate(Request(engine.codec.start(None, "a"), choices=((1,),)))
    with pytest.raises(ConfigError, match="at least one prompt id"):
        await engine.generate(Request(np.empty(0, np.int32)))
    with pytest.raises(ConfigError, match="the engine's own codec"):
        await engine.generate(Request(np.array([5000], np.int32)))
    await engine.close()


async def test_pausing_lets_what_runs_end_and_nothing_begin(make_endpoint) -> None:
    hold = asyncio.Event()
    endpoint = await make_endpoint(hold=hold)
    engine = await engine_of(endpoint)
    running = asyncio.create_task(engine.generate(request_for(engine)))
    while endpoint.running < 1:
        await asyncio.sleep(0.01)
    pausing = asyncio.create_task(engine.pause())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(engine.generate(request_for(engine)))
    await asyncio.sleep(0.05)
    assert not pausing.done()
    hold.set()
    await pausing
    assert running.done()
    assert len(endpoint.asked) == 1
    await engine.resume()
    await waiting
    assert len(endpoint.asked) == 2
    await engine.close()


async def test_closing_fails_what_runs(make_endpoint) -> None:
    endpoint = await make_endpoint(hold=asyncio.Event())
    engine = await engine_of(endpoint)
    running = asyncio.create_task(engine.generate(request_for(engine)))
    while endpoint.running < 1:
        await asyncio.sleep(0.01)
    await engine.close()
    with pytest.raises(EngineFault, match="closed"):
        await running
    with pytest.raises(EngineFault, match="closed"):
        await engine.generate(request_for(engine))


async def test_giving_up_a_request_gives_up_the_connection(make_endpoint) -> None:
    endpoint = await make_endpoint(faults=[None])
    engine = await engine_of(endpoint, max_concurrency=1)
    lost = asyncio.create_task(engine.generate(request_for(engine)))
    while not endpoint.asked:
        await asyncio.sleep(0.01)
    lost.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lost
    assert engine.codec.decode((await engine.generate(request_for(engine))).token_ids)
    await engine.close()
