from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agentrl.engines.vllm.probe import probe_server
from agentrl.engines.vllm.reference import Reference
from agentrl.errors import ConfigError, EngineFault

VOCABULARY = 40


def reference(is_tied: bool = False) -> Reference:
    return Reference(Path("/model"), VOCABULARY, None, None, is_tied)


async def probe(url: str, is_tied: bool = False, **settings):
    return await asyncio.to_thread(probe_server, url, reference(is_tied), **settings)


async def test_a_good_server_says_what_it_is(make_peer) -> None:
    peer = await make_peer()
    facts = await probe(peer.url)
    assert (facts.name, facts.context_length, facts.version) == ("policy", 128, "0.32.0")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vocabulary": 41}, "another model: it knows more ids than the policy's 40"),
        ({"vocabulary": 39}, "another model: it knows fewer ids than the policy's 40"),
        ({"missing": ("/collective_rpc",)}, "no /collective_rpc.*VLLM_SERVER_DEV_MODE"),
        ({"missing": ("/pause",)}, "no /pause"),
        ({"raw_logprobs": True}, "--logprobs-mode processed_logprobs"),
        ({"with_ids": False}, "no ids with log-probabilities; agentrl needs vLLM"),
        ({"context": None}, "max_model_len"),
        ({"missing": ("/v1/models",)}, "no vLLM server"),
        ({"missing": ("/v1/completions",)}, "cannot complete: Not Found"),
        ({"fault": lambda path, body: b""}, "does not answer properly"),
        ({"fault": lambda path, body: b"HTTP/1.1 200 X\r\n\r\n<html>"}, "no vLLM server"),
    ],
)
async def test_what_is_wrong_is_one_clear_line(make_peer, settings, words) -> None:
    peer = await make_peer(**settings)
    with pytest.raises((ConfigError, EngineFault), match=words) as caught:
        await probe(peer.url)
    assert "\n" not in str(caught.value)
    assert peer.url in str(caught.value)


async def test_another_name_and_no_server(make_peer) -> None:
    peer = await make_peer()
    with pytest.raises(ConfigError, match="serves policy, not llama"):
        await probe(peer.url, name="llama")
    await peer.stop()
    with pytest.raises(EngineFault, match="no server answers"):
        await probe(peer.url)


def closing(status: int, content: bytes) -> bytes:
    head = b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(content)) + content


@pytest.mark.parametrize(
    ("device", "is_tied", "packs_head"),
    [("cpu", True, True), ("cpu", False, False), ("cuda", True, False)],
)
async def test_tied_embeddings_on_a_cpu_need_the_extension(
    make_peer, device: str, is_tied: bool, packs_head: bool
) -> None:
    has_extension = True

    def answer(path: str, body) -> bytes | None:
        if path.startswith("/server_info"):
            told = {"vllm_config": {"device_config": {"device": device}}}
            return closing(200, json.dumps(told).encode())
        if body.get("method") == "renew_head" and not has_extension:
            return closing(500, b"")
        return None

    peer = await make_peer(fault=answer)
    assert (await probe(peer.url, is_tied)).packs_head is packs_head
    has_extension = False
    if packs_head:
        with pytest.raises(ConfigError, match="--worker-extension-cls agentrl_worker") as caught:
            await probe(peer.url, is_tied)
        assert "\n" not in str(caught.value)
    else:
        await probe(peer.url, is_tied)


@pytest.mark.parametrize(("device", "is_refused"), [("cpu", True), ("cuda", False)])
async def test_a_server_on_a_cpu_must_read_prompts_in_one_step(
    make_peer, device: str, is_refused: bool
) -> None:
    def answer(path: str, body) -> bytes | None:
        if not path.startswith("/server_info"):
            return None
        chunked = {"enable_chunked_prefill": True}
        told = {"device_config": {"device": device}, "scheduler_config": chunked}
        return closing(200, json.dumps({"vllm_config": told}).encode())

    peer = await make_peer(fault=answer)
    if not is_refused:
        await probe(peer.url)
        return
    with pytest.raises(ConfigError, match="--no-enable-chunked-prefill") as caught:
        await probe(peer.url)
    assert "\n" not in str(caught.value)
