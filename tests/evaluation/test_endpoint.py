"""`agentrl eval --model URL|name` against a small endpoint that plays along, or does not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from chat_endpoint import response, starter

from agentrl.cli import main


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No endpoint and no results of the user's."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def make_endpoint() -> AsyncIterator[Callable[..., Any]]:
    """Start small endpoints, and stop them at the end."""
    async with starter() as make:
        yield make


@pytest.fixture
def evaluate(game: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command while the endpoint goes on; return code, stdout and the last error line."""

    async def call(*words: str) -> tuple[int, str, str]:
        command = ["eval", "--env", game, "--tasks", "6", *words]
        code = await asyncio.to_thread(main, command)
        captured = capsys.readouterr()
        errors = captured.err.strip().splitlines()
        return code, captured.out, errors[-1] if errors else ""

    return call


async def test_a_url(make_endpoint, evaluate, tmp_path: Path) -> None:
    endpoint = await make_endpoint(reply="win")
    code, out, _ = await evaluate("--model", endpoint.url, "--json")
    assert code == 0
    report = json.loads(out)
    assert report["success"]["value"] == 1.0
    assert report["policy"] == f"parrot@127.0.0.1:{endpoint.port}"
    # As the endpoint counts: one turn of 3 sampled and 10 read tokens per episode.
    assert (report["tokens"], report["prompt_tokens"]) == (3, 10)
    assert (tmp_path / report["results"]).is_file()
    sent = endpoint.asked[0]
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert len(endpoint.asked) == 6
    # The same command goes on where it was, which is at the end.
    code, out, _ = await evaluate("--model", endpoint.url)
    assert code == 0
    assert "6 more from an earlier evaluation" in out
    assert len(endpoint.asked) == 6


async def test_a_name(make_endpoint, evaluate, monkeypatch) -> None:
    endpoint = await make_endpoint(reply="win", models=("parrot", "crow"))
    place = f"engine.options.base_url={endpoint.url}"
    code, out, _ = await evaluate("--model", "crow", "engine=openai", place)
    assert code == 0
    assert endpoint.asked[-1]["model"] == "crow"
    # Where the environment names the endpoint, the name alone will do.
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    code, out, _ = await evaluate("--model", "parrot")
    assert code == 0
    assert f"policy parrot@127.0.0.1:{endpoint.port}" in out


async def test_settings_of_requests_are_told_with_the_results(make_endpoint, evaluate) -> None:
    endpoint = await make_endpoint(reply="win")
    code, out, _ = await evaluate(
        "--model",
        endpoint.url,
        "engine.options.extra={reasoning_effort: low}",
        "engine.options.omit=[temperature, top_p]",
    )
    assert code == 0
    assert "reasoning_effort=low" in out
    assert "temperature its own" in out
    assert "temperature" not in endpoint.asked[0]


@pytest.mark.parametrize(
    "word",
    [
        "rollout.max_invalid_actions=2",
        "engine.options.context_length=4000",
        "engine.options.omit=[max_tokens]",
        "engine.options.omit=[seed]",
    ],
)
async def test_what_changes_results_has_results_of_its_own(
    make_endpoint, evaluate, word: str
) -> None:
    endpoint = await make_endpoint(reply="win")
    for words in ((), (word,), (word, "engine.options.max_concurrency=2")):
        code, _, _ = await evaluate("--model", endpoint.url, *words)
        assert code == 0
    assert len(endpoint.asked) == 6 + 6


async def test_failures_are_played_again_and_never_scored(make_endpoint, evaluate) -> None:
    endpoint = await make_endpoint(reply="win")
    # The first request shows that the settings are right; later ones are refused.
    refused = response(400, {"error": {"message": "not such content"}})
    endpoint.faults = [endpoint._complete({"model": "parrot"}), *[refused] * 2]
    code, out, _ = await evaluate("--model", endpoint.url, "engine.options.max_concurrency=1")
    assert code == 0
    assert re.search(r"ended: success +6\b", out)
    assert len(endpoint.asked) == 6 + 2


async def test_one_prompt_that_a_filter_refuses_is_missing(make_endpoint, evaluate) -> None:
    """The first one, and for ever: the others are played all the same."""
    endpoint = await make_endpoint(reply="win")
    refused = response(400, {"error": {"message": "filtered", "code": "content_filter"}})
    complete = endpoint._complete
    endpoint._complete = lambda body: (
        refused if "test/0," in str(body["messages"]) else complete(body)
    )
    for _ in range(2):
        code, out, _ = await evaluate("--model", endpoint.url, "engine.options.max_concurrency=1")
        assert code == 0
        assert re.search(r"ended: success +5\b", out)
        assert "MISSING: 1 attempt, first test/0" in out


async def test_a_prompt_that_is_too_long_ends_its_episode(make_endpoint, evaluate) -> None:
    endpoint = await make_endpoint(reply="win")
    text = "This model's maximum context length is 512 tokens."
    endpoint.faults = [response(400, {"error": {"message": text}})]
    code, out, _ = await evaluate("--model", endpoint.url)
    assert code == 0
    assert "ended: truncated_context" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["engine=vllm"], "a URL is evaluated with engine=openai; leave out engine=vllm"),
        (["engine.options.base_url=http://other/v1"], "differ; give one of them"),
        (["engine.options.retris=1"], "did you mean 'retries'"),
        (["dialogue.format=choice", "dialogue.restrict=true"], "set dialogue.restrict=false"),
        (["--step", "3"], "has no steps"),
    ],
)
async def test_wrong_settings(make_endpoint, evaluate, words: list[str], expected: str) -> None:
    endpoint = await make_endpoint()
    code, _, error = await evaluate("--model", endpoint.url, *words)
    assert code == 2
    assert error.startswith("error: ")
    assert expected in error
    assert endpoint.asked == []


async def test_endpoints_that_are_none(make_endpoint, evaluate) -> None:
    several = await make_endpoint(models=("parrot", "crow"))
    code, _, error = await evaluate("--model", several.url)
    assert code == 2
    assert "has parrot, crow; name the model" in error
    place = f"engine.options.base_url={several.url}"
    code, _, error = await evaluate("--model", "gull", "engine=openai", place)
    assert code == 2
    assert "it has no model 'gull', but: parrot, crow" in error
    await several.stop()
    code, _, error = await evaluate("--model", several.url)
    assert code == 2
    assert "nothing answers at" in error


async def test_an_endpoint_cannot_train(make_endpoint, capsys) -> None:
    endpoint = await make_endpoint()
    place = f"engine.options.base_url={endpoint.url}"
    assert await asyncio.to_thread(main, ["train", "quickstart", "engine=openai", place]) == 2
    assert "cannot train or serve a run's policy" in capsys.readouterr().err
