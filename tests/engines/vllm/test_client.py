from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrl.engines.base import Sampling
from agentrl.engines.vllm import client as module
from agentrl.engines.vllm.client import Lost, VllmClient
from agentrl.engines.vllm.wire import sampled, sampling_body
from agentrl.errors import EngineFault


def body(*prompt: int, **settings: Any) -> dict[str, Any]:
    return sampling_body("policy", list(prompt), Sampling(max_tokens=3, **settings))


def raw(content: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content)


async def test_sends_ids_and_gets_ids(make_peer) -> None:
    peer = await make_peer()
    client = VllmClient(peer.url, in_flight=4, seconds=60)
    answer = await client.complete(body(1, 2, stop_ids=(4,)))
    ids, logprobs, is_cut = sampled(answer, peer.url)
    assert (ids, is_cut) == ([3, 4], False)
    assert logprobs == pytest.approx([-0.693147, -0.693147])
    sent = peer.seen[-1][1]
    assert sent["prompt"] == [1, 2]
    # Nothing may be left to what a server's model directory says.
    assert {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed"} <= set(sent)
    assert sent["ignore_eos"] is True
    await client.close()


async def test_requests_in_flight_are_bounded(make_peer) -> None:
    hold = asyncio.Event()
    peer = await make_peer(hold=hold)
    client = VllmClient(peer.url, in_flight=3, seconds=60)
    tasks = [asyncio.create_task(client.complete(body(i))) for i in range(50)]
    while peer.running < 3:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert peer.most_running == 3
    # Weights do not wait for completions.
    await client.control("/resume")
    hold.set()
    await asyncio.gather(*tasks)
    assert peer.most_running == 3
    await client.close()


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"<html>not json", 200, "nonsense"),
        (b'{"choices": [{"token_ids": "many"}]}', 200, "nonsense"),
        (b'{"choices": []}', 200, "0 completions"),
        (b'{"choices": [{"finish_reason": "stop"}]}', 200, "no ids"),
        (
            b'{"choices": [{"token_ids": [1, 2], "finish_reason": "stop",'
            b' "logprobs": {"token_logprobs": [-1]}}]}',
            200,
            "no ids",
        ),
        (
            b'{"choices": [{"token_ids": [1], "finish_reason": "stop",'
            b' "logprobs": {"token_logprobs": [null]}}]}',
            200,
            "no numbers",
        ),
        (
            b'{"choices": [{"token_ids": [1], "finish_reason": "error",'
            b' "logprobs": {"token_logprobs": [-1]}}]}',
            200,
            "broke off",
        ),
        (b'{"error": {"message": "out of\\n memory"}}', 500, "out of memory"),
        (b'{"detail": "Not Found"}', 404, "Not Found"),
        (b"gone", 502, "gone"),
    ],
)
async def test_what_is_no_answer_is_one_clear_line(make_peer, content, status, words) -> None:
    peer = await make_peer(fault=lambda path, body: raw(content, status))
    client = VllmClient(peer.url, in_flight=1, seconds=60)
    with pytest.raises(EngineFault, match=words) as caught:
        sampled(await client.complete(body(1)), peer.url)
    assert "\n" not in str(caught.value)
    assert peer.url in str(caught.value)
    assert [path for path, _ in peer.seen].count("/v1/completions") == 1
    await client.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{"])
async def test_a_server_that_hangs_up_is_not_asked_again(make_peer, answer) -> None:
    peer = await make_peer(fault=lambda path, body: answer)
    client = VllmClient(peer.url, in_flight=1, seconds=60)
    with pytest.raises(EngineFault, match="hung up"):
        await client.complete(body(1))
    assert len(peer.seen) == 1
    await client.close()


async def test_a_server_that_hangs_can_be_left(make_peer) -> None:
    async def never(path: str, body: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    peer = await make_peer(fault=never)
    client = VllmClient(peer.url, in_flight=1, seconds=60)
    task = asyncio.create_task(client.complete(body(1)))
    while not peer.seen:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The place in flight is free again.
    peer.fault = None
    assert (await client.complete(body(1))).choices
    await client.close()


async def test_refused_connections_are_tried_again(make_peer, monkeypatch) -> None:
    peer = await make_peer()
    await peer.stop()
    monkeypatch.setattr(module, "_CONNECT_PAUSES", (0.0, 0.5, 0.5, 0.5))
    client = VllmClient(peer.url, in_flight=1, seconds=60)
    task = asyncio.create_task(client.complete(body(1)))
    await asyncio.sleep(0.05)
    await peer.start()
    assert (await task).choices
    await client.close()


async def test_a_server_that_is_not_there_is_unreachable(make_peer, monkeypatch) -> None:
    peer = await make_peer()
    await peer.stop()
    monkeypatch.setattr(module, "_CONNECT_PAUSES", (0.0,))
    client = VllmClient(peer.url, in_flight=1, seconds=60)
    with pytest.raises(Lost, match="is it running") as caught:
        await client.complete(body(1))
    assert "\n" not in str(caught.value)
    await client.close()


async def test_a_completion_has_its_deadline_from_when_it_is_sent(make_peer) -> None:
    peer = await make_peer(hold=asyncio.Event())
    client = VllmClient(peer.url, in_flight=1, seconds=0.3)
    tasks = [asyncio.create_task(client.complete(body(1))) for _ in range(2)]
    with pytest.raises(EngineFault, match="request_seconds") as caught:
        await tasks[0]
    assert not isinstance(caught.value, Lost)
    peer.hold.set()
    # The second waited for the first, and had all its time before it.
    assert (await tasks[1]).choices
    await client.close()


async def test_giving_up_loses_what_waits(make_peer) -> None:
    peer = await make_peer(hold=asyncio.Event())
    client = VllmClient(peer.url, in_flight=4, seconds=60)
    tasks = [asyncio.create_task(client.complete(body(1))) for _ in range(3)]
    while peer.running < 3:
        await asyncio.sleep(0.01)
    assert client.waiting == 3
    client.give_up("it hangs")
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, Lost)
        assert str(outcome) == "it hangs"
    assert client.waiting == 0
    await client.close()


async def test_a_refusal_by_a_server_that_is_dead_is_a_loss(make_peer) -> None:
    def dead(path: str, sent: Any) -> bytes | None:
        return raw(b'{"error": "EngineDeadError"}', 503 if path == "/health" else 500)

    peer = await make_peer(fault=dead)
    client = VllmClient(peer.url, in_flight=1, seconds=60)
    with pytest.raises(Lost, match="EngineDeadError"):
        await client.complete(body(1))
    assert await client.is_well() is False
    await client.close()


async def test_progress_is_what_the_metrics_say(make_peer) -> None:
    text = (
        b"# HELP vllm:prompt_tokens_total Tokens.\n"
        b'vllm:prompt_tokens_total{engine="0"} 30.0\n'
        b'vllm:generation_tokens_total{engine="0"} 481.0\n'
        b'vllm:request_success_total{engine="0"} 9.0\n'
    )
    peer = await make_peer(fault=lambda path, sent: raw(text))
    client = VllmClient(peer.url, in_flight=1, seconds=60)
    assert await client.progress() == 511.0
    await peer.stop()
    await client.close()
    assert await client.progress() is None


async def test_what_waits_its_turn_is_lost_with_the_server(make_peer) -> None:
    hold = asyncio.Event()
    peer = await make_peer(hold=hold)
    client = VllmClient(peer.url, in_flight=2, seconds=60)
    tasks = [asyncio.create_task(client.complete(body(i))) for i in range(6)]
    while peer.running < 2:
        await asyncio.sleep(0.01)
    client.give_up("it hangs")
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert [str(outcome) for outcome in outcomes] == ["it hangs"] * 6
    assert all(isinstance(outcome, Lost) for outcome in outcomes)
    assert peer.most_running == 2
    hold.set()
    await client.close()
