"""What is particular to the embedded engine: sharing, loading, failing, its cache."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agentrl.engines.base import Request, Sampling
from agentrl.engines.transformers import TransformersEngine
from agentrl.errors import ConfigError, EngineFault, ModelError


def llama(seed: int = 0, **changes) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
        "bos_token_id": 0,
        "eos_token_id": 1,
        **changes,
    }
    model = LlamaForCausalLM(LlamaConfig(**settings))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model


def prompt(length: int = 30, seed: int = 0):
    return np.random.default_rng(seed).integers(0, 64, length).astype(np.int32)


async def test_updates_in_place_are_served_after_load_weights():
    model = llama()
    engine = TransformersEngine(model, version=3)
    request = Request(prompt(), Sampling(max_tokens=12, temperature=0), session="s")
    before = await engine.generate(request)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    await engine.load_weights(4, {})
    after = await engine.generate(request)
    assert (before.policy_version, after.policy_version) == (3, 4)
    assert not np.array_equal(before.token_ids, after.token_ids)
    fresh = await TransformersEngine(model).generate(request)
    assert np.array_equal(after.token_ids, fresh.token_ids)
    assert model.training


async def test_own_state_dict_costs_no_copy_and_keeps_the_weights():
    model = llama()
    engine = TransformersEngine(model)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    await engine.load_weights(1, model.state_dict())
    assert all(torch.equal(kept[name], t) for name, t in model.state_dict().items())


async def test_directories_are_loaded_and_reloaded(tmp_path):
    llama(0).save_pretrained(tmp_path / "first")
    llama(1).save_pretrained(tmp_path / "second")
    engine = TransformersEngine(tmp_path / "first", context_length=100)
    request = Request(prompt(), Sampling(max_tokens=12, temperature=0))
    first = await engine.generate(request)
    expected = await TransformersEngine(llama(0)).generate(request)
    assert np.array_equal(first.token_ids, expected.token_ids)
    await engine.load_weights(1, tmp_path / "second")
    second = await engine.generate(request)
    expected = await TransformersEngine(llama(1)).generate(request)
    assert np.array_equal(second.token_ids, expected.token_ids)
    with pytest.raises(ModelError):
        await engine.load_weights(2, tmp_path / "missing")


async def test_tied_weights_need_be_given_once():
    model = llama(tie_word_embeddings=True)
    weights = {k: v.clone() for k, v in llama(1, tie_word_embeddings=True).state_dict().items()}
    weights.pop("lm_head.weight", None)
    engine = TransformersEngine(model)
    await engine.load_weights(1, weights)
    assert torch.equal(model.lm_head.weight, weights["model.embed_tokens.weight"])
    weights.pop("model.norm.weight")
    with pytest.raises(ModelError, match=r"model\.norm\.weight"):
        await engine.load_weights(2, weights)
    with pytest.raises(ModelError, match="shape"):
        await engine.load_weights(2, {"model.norm.weight": torch.zeros(5)})


@pytest.mark.parametrize("name", ["no/such/model-name-here", "."])
def test_unknown_models_are_one_clear_line(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        TransformersEngine(name)
    assert "\n" not in str(caught.value)


def test_settings_out_of_range_are_refused():
    model = llama()
    for options in (
        {"max_batch": 0},
        {"context_length": 1},
        {"context_length": 1000},
        {"dtype": "int8"},
        {"dtype": "nonsense"},
    ):
        with pytest.raises(ConfigError):
            TransformersEngine(model, **options)


async def test_another_dtype_makes_a_copy():
    model = llama()
    engine = TransformersEngine(model, dtype="bfloat16")
    completion = await engine.generate(Request(prompt(), Sampling(max_tokens=4)))
    assert len(completion.token_ids) == 4
    assert model.dtype == torch.float32
    assert engine.model.dtype == torch.bfloat16


async def test_a_turn_computes_only_its_new_ids():
    engine = TransformersEngine(llama())
    sizes = []
    forward = engine._scheduler._forward

    def counted(chunks):
        sizes.append(sum(len(chunk.ids) for chunk in chunks))
        return forward(chunks)

    engine._scheduler._forward = counted
    ids = prompt(40)
    first = await engine.generate(Request(ids, Sampling(max_tokens=3), session="s"))
    assert sizes == [40, 1, 1]
    sizes.clear()
    longer = np.concatenate([ids, first.token_ids, prompt(10, 1)])
    await engine.generate(Request(longer, Sampling(max_tokens=2), session="s"))
    # The last sampled id was never fed back, so it comes with the ten new ones.
    assert sizes == [11, 1]
    await engine.release("s")
    sizes.clear()
    forced = ((7, 8, 9, 1),)
    only = await engine.generate(Request(longer, Sampling(), choices=forced))
    assert only.token_ids.tolist() == [7, 8, 9, 1]
    assert sizes == []


async def test_long_prompts_and_scores_go_through_in_parts():
    model = llama(max_position_embeddings=4096)
    engine = TransformersEngine(model)
    engine._scheduler._positions = 100
    ids = prompt(1500)
    completions, scores = await asyncio.gather(
        asyncio.gather(*[engine.generate(Request(ids, Sampling(max_tokens=3))) for _ in range(3)]),
        asyncio.gather(*[engine.score(ids[: 200 + i]) for i in range(3)]),
    )
    with torch.no_grad():
        logprobs = model.eval()(torch.from_numpy(ids).long()[None]).logits[0].log_softmax(-1)
    plain = logprobs[:-1].gather(1, torch.from_numpy(ids[1:]).long()[:, None])[:, 0].numpy()
    for i, score in enumerate(scores):
        np.testing.assert_allclose(score, plain[: 199 + i], atol=1e-4)
    first = float(logprobs[-1, int(completions[0].token_ids[0])])
    assert completions[0].logprobs[0] == pytest.approx(first, abs=1e-4)


async def test_a_failure_reaches_every_caller_and_the_engine_goes_on():
    engine = TransformersEngine(llama(), max_batch=2)
    forward = engine._scheduler._forward
    calls = []

    def failing(chunks):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of\nmemory")
        return forward(chunks)

    engine._scheduler._forward = failing
    requests = [Request(prompt(9, i), Sampling(max_tokens=20), session=str(i)) for i in range(5)]
    async with asyncio.timeout(30):
        results = await asyncio.gather(
            *[engine.generate(r) for r in requests], return_exceptions=True
        )
    assert all(isinstance(result, EngineFault) for result in results)
    assert str(results[0]) == "the engine failed: RuntimeError: out of memory"
    again = await engine.generate(requests[0])
    expected = await TransformersEngine(llama()).generate(requests[0])
    assert np.array_equal(again.token_ids, expected.token_ids)


async def test_damaged_weights_are_a_fault_of_the_engine():
    model = llama()
    engine = TransformersEngine(model)
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    with pytest.raises(EngineFault, match="not finite"):
        await engine.generate(Request(prompt(), Sampling()))
    choices = ((5, 1), (6, 1))
    with pytest.raises(EngineFault, match="not finite"):
        await engine.generate(Request(prompt(), Sampling(), choices=choices))


async def test_bad_choices_are_refused():
    engine = TransformersEngine(llama())
    for choices in ((), ((),), ((3, 64),), ((-1,),)):
        with pytest.raises(ConfigError, match="choices"):
            await engine.generate(Request(prompt(), Sampling(), choices=choices))


async def test_cancelled_requests_free_their_slots():
    engine = TransformersEngine(llama(), max_batch=2)
    tasks = [
        asyncio.create_task(engine.generate(Request(prompt(9, i), Sampling(max_tokens=200))))
        for i in range(6)
    ]
    for _ in range(10):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await engine.pause()
    await engine.resume()
    await engine.generate(Request(prompt(), Sampling(max_tokens=2)))
    assert engine._scheduler.slots.cached_tokens == 0
    assert not engine._scheduler._running


def test_an_engine_outlives_its_event_loop():
    engine = TransformersEngine(llama())
    request = Request(prompt(), Sampling(max_tokens=4))
    first = asyncio.run(engine.generate(request))

    async def abandoned() -> None:
        asyncio.create_task(engine.generate(request))  # noqa: RUF006 - left behind on purpose
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(abandoned())
    second = asyncio.run(engine.generate(request))
    assert np.array_equal(first.token_ids, second.token_ids)
