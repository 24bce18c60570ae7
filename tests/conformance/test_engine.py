"""What every engine must do; an engine is added in `conftest.py`, and this file stays as it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentrl.engines.base import Completion, Engine, Ids, Request, Sampling
from agentrl.errors import AgentRLError, ConfigError, EngineFault

VOCABULARY, CONTEXT = 64, 256
TOLERANCE = 1e-4


def prompt(seed: int, length: int | None = None) -> Ids:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(3, 60)) if length is None else length
    return rng.integers(0, VOCABULARY, size).astype(np.int32)


def request(seed: int = 0, length: int | None = None, **settings: Any) -> Request:
    sampling = Sampling(**{"max_tokens": 8, "seed": seed, **settings})
    return Request(prompt(seed, length), sampling)


def together(prompt_ids: Ids, completion: Completion) -> Ids:
    return np.concatenate([prompt_ids, completion.token_ids])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def expected_logprobs(
    subject: Any, engine: Engine, prompt_ids: Ids, completion: Completion, temperature: float = 1.0
) -> np.ndarray:
    logits = subject.logits(engine, together(prompt_ids, completion))
    rows = log_softmax(logits[len(prompt_ids) - 1 : -1] / temperature)
    return rows[np.arange(len(rows)), completion.token_ids]


def same(first: Completion, second: Completion) -> bool:
    return (
        np.array_equal(first.token_ids, second.token_ids)
        and np.allclose(first.logprobs, second.logprobs, atol=TOLERANCE)
        and first.finish_reason == second.finish_reason
    )


# Every engine ----------------------------------------------------------------------------------


async def test_is_an_engine_and_names_types_and_version(subject):
    engine = subject.build()
    assert isinstance(engine, Engine)
    completion = await engine.generate(request())
    assert completion.token_ids.dtype == np.int32
    assert completion.logprobs.dtype == np.float32
    assert completion.token_ids.shape == completion.logprobs.shape
    assert completion.policy_version == 1
    assert np.all(completion.logprobs <= 0)


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_length_limit_is_exact_or_not_needed(subject, limit):
    engine = subject.build()
    for seed in range(6):
        completion = await engine.generate(request(seed, max_tokens=limit))
        assert 1 <= len(completion.token_ids) <= limit
        if completion.finish_reason == "length":
            assert len(completion.token_ids) == limit


async def test_sixty_four_at_once_equal_one_by_one(subject):
    requests = [request(i, max_tokens=1 + i % 20, stop_ids=(5,)) for i in range(64)]
    engine = subject.build(max_batch=32)
    crowd = await asyncio.gather(*[engine.generate(r) for r in requests])
    alone = subject.build()
    for each, completion in zip(requests[::7], crowd[::7], strict=True):
        assert same(await alone.generate(each), completion)


async def test_same_seed_same_completion_other_seed_other(subject):
    engine = subject.build()
    first, again = [await engine.generate(request(3)) for _ in range(2)]
    assert same(first, again)
    others = [
        await engine.generate(Request(prompt(3), Sampling(max_tokens=8, seed=s)))
        for s in range(100, 110)
    ]
    assert any(not np.array_equal(first.token_ids, other.token_ids) for other in others)


async def test_pause_holds_new_requests_until_resume(subject):
    engine = subject.build()
    await engine.pause()
    waiting = asyncio.create_task(engine.generate(request(1)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    await engine.resume()
    assert len((await waiting).token_ids) > 0


async def test_pause_finishes_what_is_running(subject):
    engine = subject.build()
    running = [asyncio.create_task(engine.generate(request(i))) for i in range(4)]
    for _ in range(8):
        await asyncio.sleep(0)
    await engine.pause()
    await engine.resume()
    assert all(len(c.token_ids) for c in await asyncio.gather(*running))


async def test_load_weights_changes_the_version(subject):
    engine = subject.build()
    await engine.load_weights(7, subject.weights(1))
    assert (await engine.generate(request())).policy_version == 7


async def test_release_of_anything_is_fine(subject):
    engine = subject.build()
    await engine.release("never seen")
    await engine.generate(replace(request(), session="s"))
    await engine.release("s")
    await engine.release("s")
    await engine.generate(replace(request(), session="s"))


async def test_cancelled_callers_do_not_disturb_the_others(subject):
    engine = subject.build(max_batch=4)
    tasks = [asyncio.create_task(engine.generate(request(i, max_tokens=30))) for i in range(12)]
    for _ in range(6):
        await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    alone = subject.build()
    for i in range(1, 12, 2):
        assert same(await alone.generate(request(i, max_tokens=30)), results[i])
    assert len((await engine.generate(request(99))).token_ids) > 0


async def test_too_long_and_empty_prompts_are_one_clear_line(subject):
    engine = subject.build()
    for bad in (
        Request(np.zeros(engine.context_length, np.int32), Sampling(max_tokens=1)),
        Request(np.zeros(engine.context_length - 4, np.int32), Sampling(max_tokens=5)),
        Request(np.empty(0, np.int32), Sampling(max_tokens=5)),
    ):
        with pytest.raises(ConfigError) as caught:
            await engine.generate(bad)
        assert "\n" not in str(caught.value)
    assert len((await engine.generate(request())).token_ids) > 0


async def test_a_closed_engine_refuses(subject):
    engine = subject.build()
    await engine.generate(request())
    await engine.close()
    with pytest.raises(EngineFault):
        await engine.generate(request())


async def test_close_reaches_waiting_callers(subject):
    engine = subject.build()
    await engine.pause()
    waiting = [asyncio.create_task(engine.generate(request(i))) for i in range(3)]
    await asyncio.sleep(0)
    await engine.close()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, EngineFault) for result in results)


# Engines with real probabilities -----------------------------------------------------------------


async def test_stop_ids_end_the_completion_and_belong_to_it(model):
    engine = model.build()
    stops = tuple(range(0, VOCABULARY, 8))
    completions = await asyncio.gather(
        *[engine.generate(request(i, max_tokens=40, stop_ids=stops)) for i in range(16)]
    )
    for completion in completions:
        inside = np.isin(completion.token_ids[:-1], stops)
        assert not inside.any()
        assert (completion.finish_reason == "stop") == (int(completion.token_ids[-1]) in stops)
    assert any(completion.finish_reason == "stop" for completion in completions)


async def test_logprobs_equal_a_plain_forward_and_score(model):
    engine = model.build()
    requests = [request(i, max_tokens=1 + i) for i in range(16)]
    completions = await asyncio.gather(*[engine.generate(r) for r in requests])
    whole = [together(r.prompt_ids, c) for r, c in zip(requests, completions, strict=True)]
    scores = await asyncio.gather(*[engine.score(ids) for ids in whole])
    for each, completion, score in zip(requests, completions, scores, strict=True):
        plain = expected_logprobs(model, engine, each.prompt_ids, completion)
        np.testing.assert_allclose(completion.logprobs, plain, atol=TOLERANCE)
        np.testing.assert_allclose(score[len(each.prompt_ids) - 1 :], plain, atol=TOLERANCE)
        assert score.shape == (len(each.prompt_ids) + len(completion.token_ids) - 1,)


async def test_score_of_one_id_is_empty(model):
    engine = model.build()
    assert (await engine.score(np.array([3], np.int32))).shape == (0,)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
async def test_logprobs_are_those_at_the_sampling_temperature(model, temperature):
    engine = model.build()
    each = request(4, max_tokens=12, temperature=temperature)
    completion = await engine.generate(each)
    plain = expected_logprobs(model, engine, each.prompt_ids, completion, temperature)
    np.testing.assert_allclose(completion.logprobs, plain, atol=TOLERANCE)


async def test_temperature_zero_takes_the_most_probable(model):
    engine = model.build()
    each = request(5, max_tokens=12, temperature=0.0)
    completion = await engine.generate(each)
    logits = model.logits(engine, together(each.prompt_ids, completion))
    best = logits[len(each.prompt_ids) - 1 : -1].argmax(-1)
    np.testing.assert_array_equal(completion.token_ids, best)
    plain = expected_logprobs(model, engine, each.prompt_ids, completion)
    np.testing.assert_allclose(completion.logprobs, plain, atol=TOLERANCE)


@pytest.mark.parametrize("settings", [{"top_k": 3}, {"top_p": 0.6}, {"top_k": 6, "top_p": 0.8}])
async def test_top_k_and_top_p_sample_from_the_kept_and_normalise(model, settings):
    engine = model.build()
    requests = [request(i, max_tokens=6, **settings) for i in range(8)]
    mixed = [engine.generate(r) for r in requests] + [engine.generate(request(50))]
    completions = await asyncio.gather(*mixed)
    for each, completion in zip(requests, completions[:8], strict=True):
        logits = model.logits(engine, together(each.prompt_ids, completion))
        rows = log_softmax(logits[len(each.prompt_ids) - 1 : -1])
        for row, token, logprob in zip(
            rows, completion.token_ids, completion.logprobs, strict=True
        ):
            kept = kept_ids(row, each.sampling)
            assert int(token) in kept
            total = np.logaddexp.reduce(row[kept])
            assert logprob == pytest.approx(row[token] - total, abs=TOLERANCE)


def kept_ids(logprobs: np.ndarray, sampling: Sampling) -> list[int]:
    order = np.argsort(-logprobs, kind="stable")[: sampling.top_k or len(logprobs)]
    mass = np.exp(logprobs[order])
    mass /= mass.sum()
    before = np.cumsum(mass) - mass
    return [int(i) for i, b in zip(order, before, strict=True) if b < sampling.top_p]


async def test_sampling_follows_the_distribution(model):
    engine = model.build()
    ids = prompt(8, 20)
    draws = 3000
    completions = await asyncio.gather(
        *[engine.generate(Request(ids, Sampling(max_tokens=1, seed=s))) for s in range(draws)]
    )
    counts = np.bincount([int(c.token_ids[0]) for c in completions], minlength=VOCABULARY)
    probabilities = np.exp(log_softmax(model.logits(engine, ids)[-1]))
    # Five standard deviations of each count, plus one for the rarest ids.
    allowed = 5 * np.sqrt(draws * probabilities * (1 - probabilities)) + 1
    assert np.all(np.abs(counts - draws * probabilities) <= allowed)


CHOICES = ((10, 11, 1), (10, 12, 13, 1), (20, 1), (10, 11, 14, 15, 1), (30, 31, 32, 33, 1))


async def test_choices_restrict_and_normalise(model):
    engine = model.build()
    requests = [replace(request(i, stop_ids=(1,)), choices=CHOICES) for i in range(24)]
    free = [engine.generate(request(60 + i)) for i in range(4)]
    completions = (await asyncio.gather(*[engine.generate(r) for r in requests], *free))[:24]
    assert len({tuple(c.token_ids.tolist()) for c in completions}) > 2
    for each, completion in zip(requests, completions, strict=True):
        tokens = tuple(completion.token_ids.tolist())
        assert tokens in CHOICES
        assert completion.finish_reason == "stop"
        logits = model.logits(engine, together(each.prompt_ids, completion))
        rows = logits[len(each.prompt_ids) - 1 : -1]
        for k, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            allowed = sorted({c[k] for c in CHOICES if c[:k] == tokens[:k] and len(c) > k})
            expected = row[token] - np.logaddexp.reduce(row[allowed].astype(np.float64))
            assert completion.logprobs[k] == pytest.approx(expected, abs=TOLERANCE)


async def test_a_choice_may_be_cut_by_the_limit_and_may_be_the_only_one(model):
    engine = model.build()
    cut = await engine.generate(replace(request(1, max_tokens=2), choices=((30, 31, 32, 1),)))
    assert (cut.token_ids.tolist(), cut.finish_reason) == ([30, 31], "length")
    only = await engine.generate(replace(request(1), choices=((30, 31, 1),)))
    assert (only.token_ids.tolist(), only.finish_reason) == ([30, 31, 1], "stop")
    assert only.logprobs.tolist() == [0.0, 0.0, 0.0]


async def test_choices_go_on_in_a_session(model):
    engine = model.build()
    each = replace(request(2, stop_ids=(1,)), choices=CHOICES, session="s")
    first = await engine.generate(each)
    longer = np.concatenate([together(each.prompt_ids, first), prompt(77, 9)])
    follow = Request(longer, Sampling(max_tokens=8, seed=5), session="s")
    kept = await engine.generate(follow)
    assert same(kept, await model.build().generate(replace(follow, session="")))


async def test_session_gives_the_same_as_a_fresh_prompt(model):
    engine, fresh = model.build(), model.build()
    for episode in range(3):
        ids = prompt(episode)
        for turn in range(4):
            sampling = Sampling(max_tokens=5, seed=10 * episode + turn)
            kept = await engine.generate(Request(ids, sampling, session=f"e{episode}"))
            assert same(kept, await fresh.generate(Request(ids, sampling)))
            ids = np.concatenate([together(ids, kept), prompt(100 + turn, 1 + 6 * turn)])


async def test_a_prompt_that_leaves_the_session_starts_where_it_agrees(model):
    engine, alone = model.build(), model.build()
    ids = prompt(1, 40)
    await engine.generate(Request(ids, Sampling(max_tokens=6), session="s"))
    changed = ids.copy()
    changed[25:] = (changed[25:] + 1) % VOCABULARY
    for follow in (changed, ids[:10], prompt(2, 30), ids):
        each = Request(follow, Sampling(max_tokens=6, seed=3))
        kept = await engine.generate(replace(each, session="s"))
        assert same(kept, await alone.generate(each))


async def test_the_same_session_twice_at_once(model):
    engine, alone = model.build(), model.build()
    requests = [replace(request(i), session="s") for i in range(3)]
    completions = await asyncio.gather(*[engine.generate(r) for r in requests])
    for each, completion in zip(requests, completions, strict=True):
        assert same(completion, await alone.generate(replace(each, session="")))


async def test_a_common_beginning_gives_each_its_own_answer(model):
    engine, alone = model.build(), model.build()
    beginning = prompt(1, 50)
    prompts = [np.concatenate([beginning, prompt(i, i % 4)]) for i in range(12)]
    requests = [
        Request(ids, Sampling(max_tokens=5, seed=i), session=str(i))
        for i, ids in enumerate(prompts)
    ]
    completions = await asyncio.gather(*[engine.generate(r) for r in requests])
    for each, completion in zip(requests, completions, strict=True):
        assert same(completion, await alone.generate(replace(each, session="")))


async def test_load_weights_changes_what_sessions_say(model):
    engine = model.build()
    each = replace(request(1, 40, temperature=0.0, max_tokens=12), session="s")
    before = await engine.generate(each)
    await engine.load_weights(2, model.weights(9))
    after = await engine.generate(each)
    assert not np.array_equal(before.token_ids, after.token_ids)
    plain = expected_logprobs(model, engine, each.prompt_ids, after)
    np.testing.assert_allclose(after.logprobs, plain, atol=TOLERANCE)


async def test_load_weights_lets_running_ones_finish_on_the_old(model):
    engine = model.build()
    tasks = [asyncio.create_task(engine.generate(request(i, max_tokens=20))) for i in range(4)]
    for _ in range(6):
        await asyncio.sleep(0)
    await engine.load_weights(2, model.weights(9))
    assert (await engine.generate(request())).policy_version == 2
    alone = model.build()
    for i, completion in enumerate(await asyncio.gather(*tasks)):
        assert completion.policy_version == 1
        assert same(completion, await alone.generate(request(i, max_tokens=20)))


async def test_ids_outside_the_vocabulary_are_refused(model):
    engine = model.build()
    for ids in ([1, VOCABULARY], [-1, 2]):
        with pytest.raises(ConfigError, match="vocabulary"):
            await engine.generate(Request(np.array(ids, np.int32), Sampling()))
        with pytest.raises(ConfigError, match="vocabulary"):
            await engine.score(np.array(ids, np.int32))
    with pytest.raises(ConfigError):
        await engine.score(np.zeros(CONTEXT + 1, np.int32))
    for settings in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"max_tokens": 0}):
        with pytest.raises(ConfigError):
            await engine.generate(request(0, **settings))


async def test_foreign_weights_are_refused_and_nothing_is_lost(model):
    engine = model.build()
    before = await engine.generate(request())
    with pytest.raises(AgentRLError):
        await engine.load_weights(2, {"no.such.weight": np.zeros(3, np.float32)})
    after = await engine.generate(request())
    assert after.policy_version == 1
    assert same(before, after)


async def test_many_sessions_in_a_small_cache(model):
    engine, alone = model.build(max_batch=4, cache_tokens=200), model.build()
    prompts = {i: prompt(i) for i in range(12)}
    for turn in range(3):
        sampling = [Sampling(max_tokens=4, seed=100 * turn + i) for i in range(12)]
        requests = [Request(prompts[i], sampling[i], session=str(i)) for i in range(12)]
        completions = await asyncio.gather(*[engine.generate(r) for r in requests])
        for i, (each, completion) in enumerate(zip(requests, completions, strict=True)):
            if i % 4 == turn:
                assert same(completion, await alone.generate(replace(each, session="")))
            prompts[i] = np.concatenate([together(prompts[i], completion), prompt(i + turn, 7)])
