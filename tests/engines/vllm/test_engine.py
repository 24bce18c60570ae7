from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl import registry
from agentrl.engines.base import Adapters, Deployment, Engine, Request, Sampling
from agentrl.engines.vllm.engine import VllmEngine
from agentrl.errors import ConfigError, EngineFault, ModelError

WEIGHTS = {"a": torch.zeros(2, 3), "b": torch.ones(4)}


def request(*prompt: int, session: str = "", choices=None, **settings: Any) -> Request:
    sampling = Sampling(**{"max_tokens": 3, **settings})
    return Request(np.array(prompt, np.int32), sampling, session, choices)


def raw(status: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status


@pytest.fixture
async def make_engine(model_folder: Path, tmp_path: Path):
    """Attach engines to small servers, and close them at the end."""
    engines: list[VllmEngine] = []

    async def make(*peers: Any, **options: Any) -> VllmEngine:
        options = {"weights_folder": tmp_path / "weights", "version": 1, **options}
        urls = [peer.url for peer in peers]
        # The constructor blocks, and the small servers live in this thread's loop.
        engines.append(await asyncio.to_thread(VllmEngine, model_folder, urls=urls, **options))
        for peer in peers:
            peer.seen.clear()
        return engines[-1]

    yield make
    for engine in engines:
        await engine.close()


def completions(peer: Any) -> list[dict[str, Any]]:
    return [body for path, body in peer.seen if path == "/v1/completions"]


async def test_is_registered_and_is_an_engine(make_peer, make_engine) -> None:
    assert registry.load("engines", "vllm") is VllmEngine
    engine = await make_engine(await make_peer())
    assert isinstance(engine, Engine)
    assert (engine.context_length, engine.vocabulary) == (128, 40)


async def test_generates_and_names_the_version(make_peer, make_engine) -> None:
    engine = await make_engine(await make_peer())
    completion = await engine.generate(request(1, 2, stop_ids=(4,)))
    assert completion.token_ids.tolist() == [3, 4]
    assert completion.logprobs.dtype == np.float32
    assert (completion.finish_reason, completion.policy_version) == ("stop", 1)
    completion = await engine.generate(request(1, 2))
    assert (completion.token_ids.tolist(), completion.finish_reason) == ([3, 4, 5], "length")


async def test_temperature_zero_is_not_truncated(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine = await make_engine(peer)
    await engine.generate(request(1, temperature=0.0, top_k=3, top_p=0.5))
    assert {k: completions(peer)[0][k] for k in ("temperature", "top_k", "top_p")} == {
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
    }


async def test_choices_ask_for_single_ids(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine = await make_engine(peer)
    choices = ((10, 11, 1), (10, 12, 1), (20, 1))
    completion = await engine.generate(request(5, choices=choices, seed=3, max_tokens=8))
    assert tuple(completion.token_ids.tolist()) in choices
    sent = completions(peer)
    assert [body["max_tokens"] for body in sent] == [1] * len(sent)
    assert sent[0]["allowed_token_ids"] == [10, 20]
    assert len({body["seed"] for body in sent}) == len(sent)
    assert completion.logprobs[0] == pytest.approx(-np.log(2))
    assert completion.logprobs[-1] == 0.0


async def test_scores_of_all_lengths(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine = await make_engine(peer)
    scores = await engine.score(np.array([5, 6, 7], np.int32))
    assert scores.tolist() == [-1.0, -2.0]
    assert (await engine.score(np.array([5], np.int32))).shape == (0,)

    def last(path: str, body: dict[str, Any]) -> bytes | None:
        # The whole context leaves no room to sample: the last id is asked for separately.
        assert len(body["prompt"]) == 127
        choice = {
            "prompt_logprobs": [None, *[{str(i): {"logprob": -1}} for i in body["prompt"][1:]]],
            "logprobs": {"top_logprobs": [{"token_id:0": -9, "token_id:39": -4.5}]},
        }
        content = json.dumps({"choices": [choice]}).encode()
        return b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)

    peer.fault = last
    ids = np.append(np.zeros(127, np.int32), np.int32(39))
    assert (await engine.score(ids)).tolist() == [-1.0] * 126 + [-4.5]


async def test_an_update_waits_for_what_runs_and_changes_the_version(
    make_peer, make_engine
) -> None:
    hold = asyncio.Event()
    peer = await make_peer()
    engine = await make_engine(peer)
    peer.hold = hold
    running = asyncio.create_task(engine.generate(request(1, 2)))
    while not peer.running:
        await asyncio.sleep(0.01)
    loading = asyncio.create_task(engine.load_weights(7, WEIGHTS))
    # Weights are written while requests run; then the gate shuts.
    while engine._gate._open.is_set():
        await asyncio.sleep(0.01)
    late = asyncio.create_task(engine.generate(request(1, 2)))
    await asyncio.sleep(0.05)
    assert (peer.updates, len(completions(peer))) == (0, 1)
    hold.set()
    first, second, _ = await asyncio.gather(running, late, loading)
    assert (first.policy_version, first.token_ids.tolist()) == (1, [3, 4, 5])
    assert (second.policy_version, second.token_ids.tolist()) == (7, [4, 5, 6])
    paths = [path for path, _ in peer.seen]
    control = [path.partition("?")[0] for path in paths if path != "/v1/completions"]
    assert control == ["/pause", "/collective_rpc", "/update_weight_version", "/resume"]
    assert "clear_cache=true" in paths[paths.index("/collective_rpc") - 1]
    # A server that is lost finds the weights of this moment there; older ones are gone.
    assert Path(peer.folders[0]).exists()
    await engine.load_weights(8, WEIGHTS)
    await asyncio.sleep(0.05)
    assert [Path(folder).exists() for folder in peer.folders] == [False, True]
    await engine.close()
    assert not Path(peer.folders[1]).exists()


async def test_foreign_weights_change_nothing(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine = await make_engine(peer)
    with pytest.raises(ModelError):
        await engine.load_weights(2, {"a": torch.zeros(1)})
    assert peer.updates == 0
    assert (await engine.generate(request(1))).policy_version == 1


async def test_after_a_failed_update_nothing_is_sampled_until_one_succeeds(
    make_peer, make_engine
) -> None:
    peer = await make_peer()
    engine = await make_engine(peer)
    peer.fault = lambda path, body: raw(500) if path == "/collective_rpc" else None
    with pytest.raises(EngineFault, match="status 500"):
        await engine.load_weights(2, WEIGHTS)
    with pytest.raises(EngineFault, match="load them again"):
        await engine.generate(request(1))
    peer.fault = None
    await engine.load_weights(3, WEIGHTS)
    assert (await engine.generate(request(1))).policy_version == 3


async def test_what_comes_during_an_update_waits_for_it(make_peer, make_engine) -> None:
    """It is no failed update as long as it goes on."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow(path: str, body: Any) -> None:
        if path == "/collective_rpc":
            begun.set()
            await end.wait()

    peer = await make_peer()
    engine = await make_engine(peer)
    peer.fault = slow
    update = asyncio.create_task(engine.load_weights(2, WEIGHTS))
    await begun.wait()
    late = asyncio.create_task(engine.generate(request(1)))
    await asyncio.sleep(0.05)
    assert not late.done()
    end.set()
    await update
    assert (await late).policy_version == 2


async def test_an_update_may_break_off_what_runs(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine = await make_engine(peer, deployment=Deployment(interrupts=True))
    peer.hold = asyncio.Event()
    asked = [request(1, seed=5), request(1, stop_ids=(3,), max_tokens=9)]
    choice = request(5, choices=((10, 1), (20, 1)))
    running = [asyncio.create_task(engine.generate(each)) for each in [*asked, choice]]
    scoring = asyncio.create_task(engine.score(np.array([5, 6, 7], np.int32)))
    while peer.running < 4:
        await asyncio.sleep(0.01)
    await engine.load_weights(7, WEIGHTS)
    while peer.running < 4:
        await asyncio.sleep(0.01)
    peer.hold.set()
    first, second, third = await asyncio.gather(*running)
    # The id after a prompt is its sum plus the number of updates: 1, then 1 + 1 + 1.
    assert first.token_ids.tolist() == [1, 3, 4]
    assert (first.policy_version, first.versions.tolist()) == (1, [1, 7, 7])
    assert (second.token_ids.tolist(), second.finish_reason) == ([1, 3], "stop")
    # A choice and a score are made as a whole, under the new weights.
    assert (third.policy_version, third.versions) == (7, None)
    assert (await scoring).tolist() == [-1.0, -2.0]
    seeds = [body["seed"] for body in completions(peer) if body["prompt"][0] == 1]
    assert len(set(seeds)) == len(seeds) == 4


async def test_what_arrives_while_a_server_breaks_off_is_broken_off_too(
    make_peer, make_engine
) -> None:
    peer = await make_peer()
    engine = await make_engine(peer, max_batch=1, deployment=Deployment(interrupts=True))
    peer.hold = asyncio.Event()
    # More than are sent at a time: the rest goes out when the first come back.
    running = [asyncio.create_task(engine.generate(request(1, seed=i))) for i in range(12)]
    while peer.running < 3:
        await asyncio.sleep(0.01)
    await engine.load_weights(7, WEIGHTS)
    peer.hold.set()
    for completion in await asyncio.gather(*running):
        assert completion.token_ids.tolist() in ([1, 3, 4], [2, 3, 4])
    assert "/abort_requests" in [path for path, _ in peer.seen]


async def test_sessions_stay_and_all_servers_are_updated(make_peer, make_engine) -> None:
    peers = [await make_peer(), await make_peer()]
    engine = await make_engine(*peers)
    for _ in range(3):
        for group in range(2):
            for index in range(4):
                await engine.generate(request(1, session=f"{group}/{index}"))
    assert [len(completions(peer)) for peer in peers] == [12, 12]
    await engine.load_weights(2, WEIGHTS)
    assert [peer.updates for peer in peers] == [1, 1]
    for group in range(2):
        for index in range(4):
            await engine.release(f"{group}/{index}")


async def test_a_server_that_hangs_meets_the_deadline(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine = await make_engine(peer, request_seconds=0.2)
    peer.hold = asyncio.Event()
    with pytest.raises(EngineFault, match="request_seconds"):
        await engine.generate(request(1))
    peer.hold.set()
    patient = await make_engine(peer)
    assert (await patient.generate(request(1))).policy_version == 1


async def test_a_server_with_stop_ids_of_its_own_is_told_on(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine = await make_engine(peer)
    choice = {
        "token_ids": [3],
        "finish_reason": "stop",
        "logprobs": {"token_logprobs": [-1.0]},
    }
    content = json.dumps({"choices": [choice]}).encode()
    peer.fault = lambda path, body: (
        b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
    )
    with pytest.raises(EngineFault, match="--generation-config vllm"):
        await engine.generate(request(1))


async def test_wrong_options_are_one_clear_line(make_peer, make_engine) -> None:
    peer = await make_peer()
    for options, words in (
        ({"max_batch": 0}, "max_batch"),
        ({"request_seconds": 0}, "request_seconds"),
        ({"stall_seconds": 0}, "stall_seconds"),
        ({"transport": "floder"}, "folder"),
        ({"transport": "nccl"}, "from GPU to GPU.*use folder"),
        ({"transport": "lora"}, "lora_rank is 0"),
        ({"port": 8000}, "'port' is for a server that agentrl starts"),
        ({"context_length": 500}, "context_length 500"),
        ({"served_name": "other"}, "served_name"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            await make_engine(peer, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="twice"):
        await make_engine(peer, peer)


async def test_urls_with_and_without_v1(make_peer, model_folder: Path) -> None:
    peer = await make_peer()
    engine = await asyncio.to_thread(VllmEngine, model_folder, urls=f"{peer.url}/v1/")
    assert engine.urls == [peer.url]
    await engine.close()
    with pytest.raises(ConfigError, match="must be like"):
        VllmEngine(model_folder, urls=["127.0.0.1:8000"])


async def test_temperatures_that_vllm_would_raise_are_refused(make_peer, make_engine) -> None:
    engine = await make_engine(await make_peer())
    with pytest.raises(ConfigError, match="temperature"):
        await engine.generate(request(1, temperature=0.001))


async def test_a_run_hands_it_the_directory_and_the_type_of_the_weights(make_peer) -> None:
    from agentrl.config import EngineConfig, PolicyConfig
    from agentrl.learner.policy import load_policy
    from agentrl.parts import build_engine

    policy = load_policy(PolicyConfig(model="tiny"))
    peer = await make_peer(vocabulary=policy.model.config.vocab_size)
    config = EngineConfig(name="vllm", options={"urls": [peer.url]})
    engine = await asyncio.to_thread(build_engine, config, policy, Path("run"))
    await engine.load_weights(1, policy.weights())
    assert peer.updates == 1
    await engine.close()
    assert not Path("run").exists()


async def test_adapters_come_beside_those_in_use(make_peer, make_engine) -> None:
    peer = await make_peer()
    deployment = Deployment(adapter_rank=4)
    engine = await make_engine(peer, transport="lora", deployment=deployment)
    assert engine.takes_adapters
    adapters = Adapters({"x.lora_A.weight": torch.ones(4, 3)}, {"r": 4, "peft_type": "LORA"})
    await engine.load_weights(2, adapters)
    peer.hold = asyncio.Event()
    running = asyncio.create_task(engine.generate(request(1)))
    while not peer.running:
        await asyncio.sleep(0.01)
    # Nothing waits, and what runs keeps its version, whose adapters stay as long.
    await engine.load_weights(3, adapters)
    names = list(peer.adapters)
    assert len(names) == 2
    settings = Path(peer.adapters[names[0]]) / "adapter_config.json"
    assert json.loads(settings.read_text())["r"] == 4
    peer.hold.set()
    assert (await running).policy_version == 2
    assert (await engine.generate(request(1))).policy_version == 3
    assert [body["model"] for body in completions(peer)] == names
    await asyncio.sleep(0.05)
    assert list(peer.adapters) == names[1:]
    assert not settings.exists()
    assert peer.updates == 0
    with pytest.raises(ConfigError, match="transport=folder"):
        await engine.load_weights(4, WEIGHTS)


async def test_a_shared_device_is_freed_while_the_engine_is_paused(make_peer, make_engine) -> None:
    peer = await make_peer()
    engine = await make_engine(peer, deployment=Deployment(shares_device=True))
    calls = ["/sleep?level=2&mode=wait", "/wake_up?tags=weights", "/collective_rpc"]

    def seen() -> list[str]:
        watched = ("/sleep", "/wake_up", "/collective_rpc")
        found = [path for path, _ in peer.seen if path.startswith(watched)]
        peer.seen.clear()
        return found

    await engine.pause()
    await engine.load_weights(2, WEIGHTS)
    await engine.resume()
    assert seen() == [*calls, "/wake_up?tags=kv_cache"]
    # Without new weights the last ones are loaded again: sleep has dropped them.
    await engine.pause()
    await engine.resume()
    assert seen() == [*calls, "/wake_up?tags=kv_cache"]
    assert peer.folders[0] == peer.folders[1]
    assert (await engine.generate(request(1))).policy_version == 2
