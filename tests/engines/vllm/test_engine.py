from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl import registry
from agentrl.engines.base import Engine, Request, Sampling
from agentrl.engines.vllm import client as client_module
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
    assert paths.index("/reset_prefix_cache") > paths.index("/collective_rpc")
    # What was handed over is gone again.
    assert not Path(peer.folders[0]).exists()


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


async def test_a_cache_that_cannot_be_reset_is_a_fault(make_peer, make_engine, monkeypatch) -> None:
    monkeypatch.setattr("agentrl.engines.vllm.engine._RESET_PAUSES", (0.0, None))
    peer = await make_peer()
    engine = await make_engine(peer)
    stale = b'HTTP/1.1 200 X\r\nContent-Length: 18\r\n\r\n{"success": false}'
    peer.fault = lambda path, body: stale if path == "/reset_prefix_cache" else None
    with pytest.raises(EngineFault, match="activations of older weights"):
        await engine.load_weights(2, WEIGHTS)


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


async def test_a_server_that_is_gone_is_left_until_the_next_update(
    make_peer, make_engine, monkeypatch
) -> None:
    monkeypatch.setattr(client_module, "_CONNECT_PAUSES", (0.0,))
    peers = [await make_peer(), await make_peer()]
    engine = await make_engine(*peers)
    for session in "ab":
        await engine.generate(request(1, session=session))
    await peers[0].stop()
    for client in engine._clients:
        await client.close()
    for session in "ab":
        assert (await engine.generate(request(1, session=session))).policy_version == 1
    await engine.load_weights(2, WEIGHTS)
    assert [peer.updates for peer in peers] == [0, 1]
    await peers[0].start()
    await engine.generate(request(1, session="c"))
    assert len(completions(peers[0])) == 1
    await engine.load_weights(3, WEIGHTS)
    await engine.generate(request(1, session="d"))
    assert len(completions(peers[0])) == 2
    assert [peer.updates for peer in peers] == [1, 2]


async def test_all_servers_gone_is_one_clear_line(make_peer, make_engine, monkeypatch) -> None:
    monkeypatch.setattr(client_module, "_CONNECT_PAUSES", (0.0,))
    peer = await make_peer()
    engine = await make_engine(peer)
    await peer.stop()
    await engine._clients[0].close()
    for _ in range(2):
        with pytest.raises(EngineFault, match=r"cannot be reached|can be reached") as caught:
            await engine.generate(request(1))
        assert "\n" not in str(caught.value)
    with pytest.raises(EngineFault, match="cannot be reached"):
        await engine.load_weights(2, WEIGHTS)


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
        ({"context_lenght": 5}, "context_length"),
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
