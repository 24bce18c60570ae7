"""The same episodes through `verifiers` 0.4, set up as favourably as its contract allows.

The harness runs its loop in this process (its documentation allows that: "the interception is
the contract, not the process"), keeps one HTTP connection pool to one shared interception server,
and the environment is stepped inside the loop, so that an episode is one segment. No program is
launched, nothing is saved. What remains is the framework's own work for each rollout and turn.

`text`: a client that answers at once with text; nothing is tokenised.
`tokens`: the framework's own training client (renderer, token ids, trace with tokens) whose
transport answers at once; this is what compares with agentrl, which records token ids too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
from types import SimpleNamespace
from typing import Any

import aiohttp
import verifiers.v1 as vf
from game import Game, clock, replies, report
from transformers import AutoTokenizer
from verifiers.v1.clients.client import Client
from verifiers.v1.clients.train import TrainClient
from verifiers.v1.configs.client import EvalClientConfig, TrainClientConfig
from verifiers.v1.harnesses.null import NullHarness, NullHarnessConfig
from verifiers.v1.interception import InterceptionServer
from verifiers.v1.interception import server as interception_server
from verifiers.v1.runtimes import ProgramResult, SubprocessConfig
from verifiers.v1.types import AssistantMessage, Response, Usage

_REPLIES = replies()


class TextClient(Client):
    """Answers at once with text, and with the wire form that the server relays."""

    async def get_response(self, *arguments: Any, **options: Any) -> Response:
        text = random.choice(_REPLIES)
        response = Response(
            id="x",
            created=0,
            model="m",
            message=AssistantMessage(content=text),
            finish_reason="stop",
            usage=Usage(prompt_tokens=1, completion_tokens=1),
        )
        response.raw = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        return response


class Transport:
    """Stands in for the connection to a generation server: answers at once with ids."""

    base_url = "http://localhost/v1"

    def __init__(self, tokenizer: Any) -> None:
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.bodies = []
        for text in _REPLIES:
            ids = [*tokenizer.encode(text, add_special_tokens=False), end]
            content = [{"token": f"token_id:{i}", "logprob": -0.5} for i in ids]
            choice = {"token_ids": ids, "logprobs": {"content": content}, "finish_reason": "stop"}
            self.bodies.append(json.dumps({"request_id": "x", "choices": [choice]}).encode())

    async def get(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        return {"data": []}

    async def post(self, *arguments: Any, **options: Any) -> Any:
        return SimpleNamespace(content=random.choice(self.bodies))

    async def close(self) -> None:
        pass


class PorterHarness(NullHarness):
    """Plays the whole game in one segment, in process, with one HTTP call a turn."""

    def __init__(self, config: NullHarnessConfig, http: aiohttp.ClientSession, turns: int) -> None:
        super().__init__(config)
        self.http = http
        self.turns = turns
        self.played = 0

    async def setup(self, runtime: Any) -> None:
        """Launch nothing, so prepare nothing."""

    async def launch(
        self, ctx, trace, runtime, endpoint, secret, mcp_urls, data, tool_interception_url=None
    ) -> ProgramResult:
        game = Game(self.turns)
        messages = [{"role": "user", "content": game.reset(int(data.name))}]
        headers = {"Authorization": f"Bearer {secret}"}
        done = False
        while not done:
            body = {"model": ctx.model, "messages": messages}
            url = f"{endpoint}/chat/completions"
            async with self.http.post(url, json=body, headers=headers) as answer:
                payload = await answer.json()
            reply = payload["choices"][0]["message"]["content"]
            observation, _, done = game.step(reply)
            messages += [
                {"role": "assistant", "content": reply},
                {"role": "user", "content": observation},
            ]
            self.played += 1
        return ProgramResult(exit_code=0, stdout="", stderr="")


def scripted(variant: str, path: str) -> tuple[Client, Any]:
    """Return the client that answers at once, and the configuration that it goes by."""
    if variant == "text":
        return TextClient(), EvalClientConfig(base_url="http://localhost", api_key_var="NO_KEY")
    config = TrainClientConfig(base_url="http://localhost", api_key_var="NO_KEY")
    config = config.model_copy(update={"renderer_model_name": path})
    client = TrainClient(config)
    client.client = Transport(AutoTokenizer.from_pretrained(path))
    return client, config


async def play(arguments: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    client, client_config = scripted(arguments.variant, arguments.tokenizer)
    interception_server.resolve_client = lambda config: client
    config = vf.AgentConfig(
        harness=NullHarnessConfig(id="null"),
        runtime=SubprocessConfig(),
        model="m",
        client=client_config,
    )
    gate = asyncio.Semaphore(arguments.concurrency)
    connector = aiohttp.TCPConnector(limit=0)
    async with InterceptionServer() as server, aiohttp.ClientSession(connector=connector) as http:
        agent = vf.Agent(config, interception=server)
        harness = agent.harness = PorterHarness(agent.harness.config, http, arguments.turns)

        async def episode(seed: int) -> vf.Trace:
            task = vf.Task(vf.TaskData(name=str(seed), prompt="play"))
            async with gate:
                return await agent.run(task)

        first = arguments.seed * 10_000
        await asyncio.gather(*(episode(first + 9_000 + i) for i in range(8)))
        harness.played = 0
        start = clock()
        traces = await asyncio.gather(*(episode(first + i) for i in range(arguments.episodes)))
        seconds = clock() - start
    problems = [error for trace in traces for error in trace.errors]
    assert not problems, problems[:1]
    assert harness.played == arguments.episodes * arguments.turns
    assert all(trace.num_turns == arguments.turns for trace in traces)
    report(harness.played, seconds, tokens=count_tokens(traces))


def count_tokens(traces: list[vf.Trace]) -> int:
    return sum(len(node.token_ids or []) for trace in traces for node in trace.nodes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--episodes", type=int, required=True)
    parser.add_argument("--turns", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--variant", choices=["text", "tokens"], required=True)
    asyncio.run(play(parser.parse_args()))
