"""Weight updates on a real server, by each transport and amid completions."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

from agentrl.engines.base import Adapters, Deployment, Request, Sampling
from agentrl.engines.vllm.engine import VllmEngine
from agentrl.errors import EngineFault

LONG = np.arange(200, dtype=np.int32) % 64
"""Longer than a block of the prefix cache on a CPU."""


def logprobs(model: Any, ids: np.ndarray) -> np.ndarray:
    """Return log p(id_k | ids before) of a plain model, k ≥ 1."""
    import torch

    with torch.no_grad():
        rows = model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0].log_softmax(-1)
    return np.asarray(rows.numpy()[np.arange(len(ids) - 1), ids[1:]])


async def test_a_completion_goes_on_under_new_weights(served_vllm) -> None:
    engine = VllmEngine(
        served_vllm.model_folder(),
        urls=[served_vllm.url()],
        version=1,
        deployment=Deployment(interrupts=True),
    )
    served_vllm.changed()
    models = {version: served_vllm.model(version) for version in (2, 3, 4)}
    await engine.load_weights(2, dict(models[2].state_dict()))
    asked = [Request(LONG[:16], Sampling(max_tokens=230, seed=i)) for i in range(24)]
    running = [asyncio.create_task(engine.generate(request)) for request in asked]
    for version in (3, 4):
        await asyncio.sleep(0.3)
        await engine.load_weights(version, dict(models[version].state_dict()))
    completions = await asyncio.gather(*running)
    spans = 0
    for request, completion in zip(asked, completions, strict=True):
        assert len(completion.token_ids) == 230
        ids = np.concatenate([request.prompt_ids, completion.token_ids])
        versions = completion.versions
        if versions is None:
            versions = np.full(230, completion.policy_version)
        assert np.all(np.diff(versions) >= 0)
        spans += len(set(versions.tolist())) > 1
        for version in np.unique(versions):
            # Each id is sampled by the weights of its version alone, earlier ids read by them too.
            plain = logprobs(models[version], ids)[15:]
            mine = versions == version
            np.testing.assert_allclose(completion.logprobs[mine], plain[mine], atol=1e-4)
    assert spans > 0
    await engine.close()


async def test_adapters_are_the_learners(served_vllm) -> None:
    import torch
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    settings = LoraConfig(r=4, lora_alpha=8.0, target_modules="all-linear", task_type="CAUSAL_LM")
    served_vllm.reset()
    model = get_peft_model(served_vllm.model(0), settings).eval()
    engine = VllmEngine(
        served_vllm.model_folder(),
        urls=[served_vllm.url()],
        transport="lora",
        deployment=Deployment(adapter_rank=4),
    )
    request = Request(LONG, Sampling(max_tokens=16, seed=3), "s/0")
    plain_settings = model.peft_config["default"].to_dict()
    plain_settings["target_modules"] = sorted(plain_settings["target_modules"])
    for version in (1, 2, 3):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.normal_(0, 0.3)
        weights = get_peft_model_state_dict(model)
        await engine.load_weights(version, Adapters(weights, plain_settings))
        # The same prompt each time: activations of other adapters must not be taken for these.
        completion = await engine.generate(request)
        ids = np.concatenate([LONG, completion.token_ids])
        plain = logprobs(model, ids)
        np.testing.assert_allclose(completion.logprobs, plain[len(LONG) - 1 :], atol=1e-3)
        # Several at once, which kills a server that has adapters prepared on its head.
        for scores in await asyncio.gather(*[engine.score(ids) for _ in range(4)]):
            np.testing.assert_allclose(scores, plain, atol=1e-3)
        assert completion.policy_version == version
    await asyncio.sleep(0.2)
    cards = httpx.get(f"{served_vllm.url()}/v1/models").json()["data"]
    assert len([card for card in cards if card["parent"] is not None]) == 1
    await engine.close()


async def test_adapters_of_another_model_are_refused(served_vllm) -> None:
    import torch

    engine = VllmEngine(
        served_vllm.model_folder(),
        urls=[served_vllm.url()],
        transport="lora",
        deployment=Deployment(adapter_rank=4),
    )
    nonsense = Adapters({"no.such.lora_A.weight": torch.ones(4, 3)}, {"r": 4, "lora_alpha": 8})
    with pytest.raises(EngineFault, match="/v1/load_lora_adapter") as caught:
        await engine.load_weights(2, nonsense)
    assert "\n" not in str(caught.value)
    await engine.close()


@pytest.fixture
def native(served_vllm, monkeypatch: pytest.MonkeyPatch) -> VllmEngine:
    """Return an engine that sends by vLLM's own weight transfer, on a backend without GPUs."""
    import sys

    from agentrl.engines.vllm.transports.native import NativeTransport

    monkeypatch.syspath_prepend(served_vllm.STORE_BACKEND)
    sys.modules.pop("store_backend", None)
    import store_backend

    from agentrl.engines.vllm.transports import sender

    store_backend.register()
    monkeypatch.setitem(
        sender.INIT_INFOS, "store", lambda *_: store_backend.StoreTrainerInit(rank=0)
    )
    engine = VllmEngine(served_vllm.model_folder(), urls=[served_vllm.url()])
    served_vllm.changed()
    engine._transport = NativeTransport("store", engine._transport._folder, engine._lease.name)
    return engine


async def test_vllms_own_weight_transfer(
    served_vllm, native: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens there, and nothing is asked through it.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    request = Request(LONG, Sampling(max_tokens=8, seed=3), "s/0")
    for version in (2, 3):
        model = served_vllm.model(version)
        await native.load_weights(version, dict(model.state_dict()))
        completion = await native.generate(request)
        ids = np.concatenate([LONG, completion.token_ids])
        plain = logprobs(model, ids)
        np.testing.assert_allclose(completion.logprobs, plain[len(LONG) - 1 :], atol=1e-4)
        told = httpx.get(f"{served_vllm.url()}/weight_info", trust_env=False).json()
        assert told == {"weight_version": str(version)}
    await native.close()


def break_off(patch: pytest.MonkeyPatch, weights: dict[str, Any]) -> None:
    """Have transfers end amid a layer: with two of the three weights that vLLM fuses."""
    import torch

    from agentrl.engines.vllm.transports.sender import Source

    names = [f"model.layers.0.self_attn.{kind}_proj.weight" for kind in "qk"]
    sent = {name: torch.zeros_like(weights[name]) for name in names}
    sent["no.such.weight"] = torch.zeros(3)
    patch.setattr(Source, "__iter__", lambda source: iter(sent.items()))


async def test_a_transfer_that_fails_is_one_clear_line(
    served_vllm, native: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = dict(served_vllm.model(2).state_dict())
    with monkeypatch.context() as patch:
        break_off(patch, weights)
        with pytest.raises(EngineFault, match=r"could not be sent.*transport=folder") as caught:
            await native.load_weights(2, weights)
    assert "\n" not in str(caught.value)
    with pytest.raises(EngineFault, match="load them again"):
        await native.generate(Request(LONG, Sampling(max_tokens=8)))
    await native.load_weights(3, weights)
    np.testing.assert_allclose(
        await native.score(LONG), logprobs(served_vllm.model(2), LONG), atol=1e-4
    )
    assert (await native.generate(Request(LONG, Sampling(max_tokens=8)))).policy_version == 3
    await native.close()


async def test_a_transfer_that_was_not_asked_for_gives_way(
    served_vllm, native: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    native._transport._fall_back = told.append
    break_off(monkeypatch, dict(served_vllm.model(2).state_dict()))
    for version in (2, 3):
        model = served_vllm.model(version)
        await native.load_weights(version, dict(model.state_dict()))
        scores = await native.score(LONG)
        np.testing.assert_allclose(scores, logprobs(model, LONG), atol=1e-4)
    assert len(told) == 1
    assert "go through shared memory; so they do from now on" in told[0]
    await native.close()


async def test_sleep_and_wake(served_vllm) -> None:
    engine = VllmEngine(
        served_vllm.model_folder(),
        urls=[served_vllm.url()],
        deployment=Deployment(shares_device=True),
    )
    served_vllm.changed()
    model = served_vllm.model(2)
    await engine.pause()
    assert httpx.get(f"{served_vllm.url()}/is_sleeping").json() == {"is_sleeping": True}
    waiting = asyncio.create_task(engine.generate(Request(LONG, Sampling(max_tokens=8, seed=3))))
    await engine.load_weights(2, dict(model.state_dict()))
    assert not waiting.done()
    await engine.resume()
    completion = await waiting
    ids = np.concatenate([LONG, completion.token_ids])
    plain = logprobs(model, ids)[len(LONG) - 1 :]
    np.testing.assert_allclose(completion.logprobs, plain, atol=1e-4)
    assert completion.policy_version == 2
    await engine.close()
