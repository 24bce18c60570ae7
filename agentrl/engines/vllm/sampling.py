"""One completion or score from one server, in as many requests as it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agentrl.engines.base import FinishReason, Ids, Logprobs, Request
from agentrl.engines.vllm.choices import decode_choices
from agentrl.engines.vllm.client import VllmClient
from agentrl.engines.vllm.wire import (
    Sampled,
    next_score,
    prompt_scores,
    sampled,
    sampling_body,
    scoring_body,
    step_seed,
    was_cut,
)
from agentrl.errors import EngineFault


class Interrupted(Exception):
    """The server was told to break off, and there is nothing to keep."""


async def sample(client: VllmClient, name: str, request: Request, before: list[int]) -> Sampled:
    """Return a completion, or the part of it that was sampled when the server was told to stop.

    Args:
        client: The server.
        name: The model's name there.
        request: The whole completion.
        before: The ids of it that are sampled already.

    Raises:
        Interrupted: It was told so amid a choice, which is made as a whole.
        Lost: The server is gone.
        EngineFault: It failed.
    """
    sampling = request.sampling
    if request.choices is not None:
        return await _choose(client, name, request)
    if before:
        left = sampling.max_tokens - len(before)
        seed = step_seed(sampling.seed, len(before))
        sampling = replace(sampling, max_tokens=left, seed=seed)
    prompt = request.prompt_ids.tolist() + before
    return sampled(await client.complete(sampling_body(name, prompt, sampling)), client.url)


async def _choose(client: VllmClient, name: str, request: Request) -> Sampled:
    sampling, prompt = request.sampling, request.prompt_ids.tolist()

    async def ask(before: list[int], allowed: list[int], step: int) -> tuple[int, float]:
        seed = step_seed(sampling.seed, step)
        one = replace(sampling, max_tokens=1, stop_ids=(), seed=seed)
        body = sampling_body(name, prompt + before, one, allowed_token_ids=allowed)
        ids, logprobs, is_cut = sampled(await client.complete(body), client.url)
        if is_cut:
            raise Interrupted
        if len(ids) != 1 or ids[0] not in allowed:
            raise EngineFault(f"the server at {client.url} sampled an id that is not allowed")
        return ids[0], logprobs[0]

    assert request.choices is not None
    return Sampled(*await decode_choices(request.choices, sampling.max_tokens, ask))


def finish_reason(ids: list[int], request: Request) -> FinishReason:
    """Return why a whole completion ended.

    Raises:
        EngineFault: For no reason that was asked for.
    """
    sampling = request.sampling
    if request.choices is not None:
        return "stop" if tuple(ids) in request.choices else "length"
    if ids[-1] in sampling.stop_ids:
        return "stop"
    if len(ids) < sampling.max_tokens:
        raise EngineFault(
            f"the server stopped at id {ids[-1]}, which is no stop id; start it with "
            "--generation-config vllm"
        )
    return "length"


async def score(client: VllmClient, name: str, ids: Ids, context_length: int) -> Logprobs:
    """Return the log-probabilities of all ids but the first.

    Raises:
        Interrupted: The server was told to break off.
        Lost: The server is gone.
        EngineFault: It failed.
    """
    # vLLM samples one id more, for which a sequence of full length leaves no room: then it is asked
    # for the probability of the last id in that place.
    is_full = len(ids) >= context_length
    prompt = ids[:-1] if is_full else ids
    body = scoring_body(name, prompt.tolist())
    if is_full:
        body |= {"logprobs": 1, "logprob_token_ids": [int(ids[-1])]}
    answer = await client.complete(body)
    if was_cut(answer):
        raise Interrupted
    scores = prompt_scores(answer, prompt, client.url)
    if is_full:
        scores = np.append(scores, np.float32(next_score(answer, int(ids[-1]), client.url)))
    return scores
