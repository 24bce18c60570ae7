"""The client against an endpoint that fails; pauses are taken on a clock of the test's own."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import Any

import pytest

from agentrl.engines.openai.client import ChatClient
from agentrl.engines.openai.options import find_endpoint, read_options
from agentrl.engines.openai.pace import Pacer, Window
from agentrl.errors import ConfigError, ContextOverflow, EngineFault


def client_of(endpoint: Any, fake_time: Any, **options: Any) -> ChatClient:
    read = read_options({"base_url": endpoint.url, **options})
    pacer = Pacer(clock=fake_time.clock, sleep=fake_time.sleep)
    return ChatClient(find_endpoint(read), read, pacer)


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "parrot", "messages": [], "max_tokens": 5, "temperature": 1.0, **fields}


async def test_an_answer(make_endpoint, fake_time) -> None:
    endpoint = await make_endpoint()
    client = client_of(endpoint, fake_time)
    answer = await client.ask(body(), 10)
    assert (answer.text, answer.finish_reason) == ("go north", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 3)
    assert endpoint.asked == [body()]
    assert fake_time.pauses == []
    await client.close()


async def test_429_waits_as_long_as_it_is_told(make_endpoint, respond, fake_time) -> None:
    busy = respond(429, {"error": {"message": "slow down"}}, "Retry-After: 45\r\n")
    endpoint = await make_endpoint(faults=[busy])
    client = client_of(endpoint, fake_time)
    await client.ask(body(), 10)
    assert sum(fake_time.pauses) == pytest.approx(45)
    assert len(endpoint.asked) == 2
    await client.close()


async def test_429_holds_all_requests(make_endpoint, respond, fake_time) -> None:
    endpoint = await make_endpoint(faults=[respond(429, {}, "Retry-After: 45\r\n")])
    client = client_of(endpoint, fake_time)
    await client.ask(body(), 10)
    began = fake_time.now
    endpoint.faults.append(respond(429, {}, "retry-after-ms: 30000.5\r\n"))
    await asyncio.gather(*[client.ask(body(), 10) for _ in range(3)])
    assert fake_time.now - began == pytest.approx(30.0005)
    await client.close()


async def test_the_last_refusal_holds_the_others_too(make_endpoint, respond, fake_time) -> None:
    endpoint = await make_endpoint(faults=[respond(429, {}, "Retry-After: 45\r\n")])
    client = client_of(endpoint, fake_time, retries=0)
    with pytest.raises(EngineFault, match="failed 1 times"):
        await client.ask(body(), 10)
    assert fake_time.pauses == []
    await client.ask(body(), 10)
    assert fake_time.pauses == [pytest.approx(45)]
    endpoint.faults.append(respond(429, {}, "Retry-After: 86400\r\n"))
    with pytest.raises(ConfigError, match="left alone for 86400 s"):
        await client.ask(body(), 10)
    await client.close()


async def test_retry_after_may_be_a_date(make_endpoint, respond, fake_time) -> None:
    past = f"Retry-After: {formatdate(0, usegmt=True)}\r\n"
    endpoint = await make_endpoint(faults=[respond(503, {}, past)])
    client = client_of(endpoint, fake_time)
    await client.ask(body(), 10)
    assert len(endpoint.asked) == 2
    await client.close()


@pytest.mark.parametrize("headers", ["", "Retry-After: 0\r\n", "Retry-After: soon\r\n"])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_pauses_grow(make_endpoint, respond, fake_time, status: int, headers: str) -> None:
    """Also where it says that one may come back at once, and then refuses again."""
    endpoint = await make_endpoint(faults=[respond(status, {"error": "busy"}, headers)] * 5)
    client = client_of(endpoint, fake_time)
    await client.ask(body(), 10)
    pauses = fake_time.pauses
    assert len(pauses) == 5
    assert all(0.5 * 2**k <= pause <= 2**k for k, pause in enumerate(pauses)), pauses
    await client.close()


async def test_an_endpoint_that_goes_on_failing(make_endpoint, respond, fake_time) -> None:
    endpoint = await make_endpoint(faults=[respond(500, {"error": "out of\nmemory"})] * 3)
    client = client_of(endpoint, fake_time, retries=2)
    with pytest.raises(EngineFault, match=r"failed 3 times in a row.*status 500: out of memory"):
        await client.ask(body(), 10)
    await client.close()


async def test_a_connection_that_is_dropped_is_tried_again(make_endpoint, fake_time) -> None:
    # Half an answer, then the end.
    half = b"HTTP/1.1 200 X\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"
    endpoint = await make_endpoint()
    whole, calls = endpoint._answer, []

    async def answer(head: str, content: Any) -> bytes:
        calls.append(head)
        if len(calls) == 1:
            raise ConnectionResetError
        return half if len(calls) == 2 else await whole(head, content)

    endpoint._answer = answer
    client = client_of(endpoint, fake_time, request_seconds=0.5)
    with pytest.raises(EngineFault, match="did not answer within"):
        await client.ask(body(), 10)
    assert len(calls) == 2
    assert (await client.ask(body(), 10)).text == "go north"
    await client.close()


async def test_nothing_listens(make_endpoint, fake_time) -> None:
    endpoint = await make_endpoint()
    await endpoint.stop()
    client = client_of(endpoint, fake_time, retries=1)
    with pytest.raises(EngineFault, match="2 times in a row, at last with the connection was lost"):
        await client.ask(body(), 10)
    await client.close()


async def test_an_endpoint_that_hangs(make_endpoint, fake_time) -> None:
    endpoint = await make_endpoint(faults=[None])
    client = client_of(endpoint, fake_time, request_seconds=0.2)
    with pytest.raises(EngineFault, match=r"within 0\.2 s; raise engine\.options\.request_seconds"):
        await client.ask(body(), 10)
    assert (await client.ask(body(), 10)).text == "go north"
    await client.close()


NONSENSE = [
    (b"<html>hello", "a web page"),
    (b"nothing", "no chat completion"),
    (b"[" * 100_000, "no chat completion"),
    (b"\xff\xfe", "no chat completion"),
    (b"[1, 2]", "no chat completion"),
    (b'{"choices": []}', "holds no choices"),
    (b'{"choices": [{"text": "a"}]}', "no chat completion"),
    (b'{"choices": [{"message": {"content": 5}}]}', "no chat completion"),
]


@pytest.mark.parametrize(("content", "words"), NONSENSE)
async def test_nonsense_from_the_start_is_no_endpoint(
    make_endpoint, respond, fake_time, content: bytes, words: str
) -> None:
    endpoint = await make_endpoint(faults=[respond(200, content)])
    client = client_of(endpoint, fake_time)
    with pytest.raises(ConfigError, match="is no OpenAI-compatible API") as caught:
        await client.ask(body(), 10)
    assert words in str(caught.value)
    await client.close()


@pytest.mark.parametrize("content", [content for content, _ in NONSENSE])
async def test_nonsense_now_and_then_is_tried_again(
    make_endpoint, respond, fake_time, content: bytes
) -> None:
    endpoint = await make_endpoint()
    client = client_of(endpoint, fake_time)
    await client.ask(body(), 10)
    endpoint.faults.append(respond(200, content))
    assert (await client.ask(body(), 10)).text == "go north"
    assert len(endpoint.asked) == 3
    await client.close()


async def test_a_refusal_with_status_200(make_endpoint, respond, fake_time) -> None:
    refused = {"error": {"message": "overloaded", "code": 529}}
    endpoint = await make_endpoint(faults=[respond(200, refused)])
    client = client_of(endpoint, fake_time)
    assert (await client.ask(body(), 10)).text == "go north"
    assert len(fake_time.pauses) == 1
    await client.close()


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (401, {"error": {"message": "who?"}}, "no API key was sent"),
        (402, {"error": {"message": "pay"}}, "the same command goes on"),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, "the same command"),
        (404, {"error": {"message": "what?"}}, "does it have the model 'parrot'"),
        (307, {"error": {"message": "moved"}}, "give the URL that it names"),
        (400, {"error": {"message": "temperature must be 1"}}, r"omit=\[temperature\]"),
        (400, {"error": {"message": "top_k is unknown"}}, r"sampling\.top_k=0"),
        (400, {"error": {"message": "what?"}}, r"look at engine\.options"),
        (418, b"I am a\x07 teapot", "I am a. teapot"),
    ],
)
async def test_refusals_that_waiting_does_not_mend(
    make_endpoint, respond, fake_time, status: int, content: Any, words: str
) -> None:
    endpoint = await make_endpoint(faults=[respond(status, content)])
    client = client_of(endpoint, fake_time)
    with pytest.raises(ConfigError, match=words) as caught:
        await client.ask(body(top_k=5), 10)
    assert "\n" not in str(caught.value)
    assert fake_time.pauses == []
    await client.close()


async def test_a_wrong_model_is_told_of_the_right_ones(make_endpoint, fake_time) -> None:
    endpoint = await make_endpoint(models=("parrot", "crow"))
    client = client_of(endpoint, fake_time)
    with pytest.raises(ConfigError, match="no model 'gull', but: parrot, crow"):
        await client.ask(body(model="gull"), 10)
    await client.close()


async def test_one_request_refused_later_is_that_requests_fault(
    make_endpoint, respond, fake_time
) -> None:
    endpoint = await make_endpoint()
    client = client_of(endpoint, fake_time)
    await client.ask(body(), 10)
    endpoint.faults.append(respond(400, {"error": {"message": "not such content"}}))
    with pytest.raises(EngineFault, match="not such content"):
        await client.ask(body(), 10)
    await client.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "The response was filtered", "code": "content_filter"}),
        (400, {"message": "flagged as potentially violating our usage policy; max_tokens was 5"}),
        (400, {"message": "Content Exists Risk", "type": "invalid_request_error"}),
        (400, {"message": "no", "code": "data_inspection_failed"}),
        (403, {"message": "The model requires moderation and your input was flagged"}),
    ],
)
async def test_a_prompt_that_a_filter_refuses_is_that_episodes_fault(
    make_endpoint, respond, fake_time, status: int, error: dict[str, str]
) -> None:
    """Also where it is the first request: the next one may well be answered."""
    endpoint = await make_endpoint(faults=[respond(status, {"error": error})])
    client = client_of(endpoint, fake_time)
    with pytest.raises(EngineFault, match=error["message"][:10]):
        await client.ask(body(), 10)
    assert (await client.ask(body(), 10)).text == "go north"
    await client.close()


async def test_what_is_forbidden_later_is_that_request(make_endpoint, respond, fake_time) -> None:
    endpoint = await make_endpoint(faults=[respond(403, {"error": "not so"})])
    client = client_of(endpoint, fake_time)
    with pytest.raises(ConfigError, match="no API key was sent"):
        await client.ask(body(), 10)
    await client.ask(body(), 10)
    endpoint.faults = [respond(403, {"error": "not so"}), respond(401, {"error": "who?"})]
    with pytest.raises(EngineFault, match=r"status 403.*not so"):
        await client.ask(body(), 10)
    with pytest.raises(ConfigError, match="who"):
        await client.ask(body(), 10)
    await client.close()


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 512 tokens.",
        "prompt is too long: 9000 tokens > 8192 maximum",
        "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
        "the request exceeds the available context size",
    ],
)
async def test_a_prompt_that_is_too_long(make_endpoint, respond, fake_time, text: str) -> None:
    endpoint = await make_endpoint(faults=[respond(400, {"error": {"message": text}})])
    client = client_of(endpoint, fake_time)
    with pytest.raises(ContextOverflow):
        await client.ask(body(), 10)
    await client.close()


async def test_a_wait_longer_than_the_deadline_ends_it(make_endpoint, respond, fake_time) -> None:
    endpoint = await make_endpoint(faults=[respond(429, {}, "Retry-After: 86400\r\n")])
    client = client_of(endpoint, fake_time)
    with pytest.raises(ConfigError, match="left alone for 86400 s"):
        await client.ask(body(), 10)
    await client.close()


async def test_the_other_name_of_the_limit_is_learned(make_endpoint, respond, fake_time) -> None:
    text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    endpoint = await make_endpoint(faults=[respond(400, {"error": {"message": text}})])
    client = client_of(endpoint, fake_time)
    await client.ask(body(), 10)
    assert client.limit_name == "max_completion_tokens"
    assert endpoint.asked[-1]["max_completion_tokens"] == 5
    assert "max_tokens" not in endpoint.asked[-1]
    await client.close()


async def test_asking_again_by_the_other_name_takes_a_turn(
    make_endpoint, respond, fake_time
) -> None:
    text = "Use 'max_completion_tokens' instead."
    endpoint = await make_endpoint(faults=[respond(400, {"error": {"message": text}})])
    pacer = Pacer(Window(1), None, fake_time.clock, fake_time.sleep)
    read = read_options({"base_url": endpoint.url})
    client = ChatClient(find_endpoint(read), read, pacer)
    await client.ask(body(), 10)
    assert fake_time.pauses == [60]
    await client.close()


async def test_requests_in_flight_are_bounded(make_endpoint, fake_time) -> None:
    hold = asyncio.Event()
    endpoint = await make_endpoint(hold=hold)
    client = client_of(endpoint, fake_time, max_concurrency=3)
    tasks = [asyncio.create_task(client.ask(body(), 10)) for _ in range(20)]
    while endpoint.running < 3:
        await asyncio.sleep(0.01)
    hold.set()
    await asyncio.gather(*tasks)
    assert endpoint.most_running == 3
    await client.close()


async def test_an_endpoint_that_repeats_the_key(make_endpoint, fake_time, monkeypatch) -> None:
    monkeypatch.setenv("BIRD_KEY", "wrong")
    endpoint = await make_endpoint(key="right-secret")
    client = client_of(endpoint, fake_time, api_key_env="BIRD_KEY")
    with pytest.raises(ConfigError, match="check the API key in the environment variable BIRD_KEY"):
        await client.ask(body(), 10)
    monkeypatch.setenv("BIRD_KEY", "right-secret")
    keyed = client_of(endpoint, fake_time, api_key_env="BIRD_KEY")
    endpoint.key = ""
    endpoint.faults.append(
        b"HTTP/1.1 418 X\r\nContent-Length: 26\r\n\r\nyour key is 'right-secret'"
    )
    with pytest.raises(ConfigError) as caught:
        await keyed.ask(body(), 10)
    assert "right-secret" not in str(caught.value)
    await client.close()
    await keyed.close()


async def test_the_environments_proxy_is_asked_and_netrc_is_not(
    make_endpoint, fake_time, monkeypatch, tmp_path
) -> None:
    proxy = await make_endpoint(key="right")
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password mine\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("BIRD_KEY", "right")
    for name in ("HTTP_PROXY", "http_proxy", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    # A proxy is asked for the whole URL.
    proxy.prefix = "http://birds.invalid/v1"
    read = read_options({"base_url": "http://birds.invalid/v1", "api_key_env": "BIRD_KEY"})
    client = ChatClient(
        find_endpoint(read), read, Pacer(clock=fake_time.clock, sleep=fake_time.sleep)
    )
    assert (await client.ask(body(), 10)).text == "go north"
    await client.close()


async def test_no_proxy_stands_between_us_and_this_machine(
    make_endpoint, fake_time, monkeypatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    endpoint = await make_endpoint()
    client = client_of(endpoint, fake_time)
    assert (await client.ask(body(), 10)).text == "go north"
    await client.close()
