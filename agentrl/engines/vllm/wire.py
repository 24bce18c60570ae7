"""What goes over the wire: completion requests, and the part of the answers that we read."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np

from agentrl.engines.base import Ids, Logprobs, Sampling
from agentrl.errors import EngineFault

MIN_TEMPERATURE = 0.01
"""vLLM raises temperatures above 0 to at least this."""

_TOKENS_DONE = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
_SEED_MASK = (1 << 63) - 1


class TokenLogprobs(msgspec.Struct):
    """Log-probabilities of sampled ids."""

    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] = []


class PromptLogprob(msgspec.Struct):
    """Log-probability of one id of the prompt."""

    logprob: float


class Choice(msgspec.Struct):
    """One completion."""

    token_ids: list[int] | None = None
    logprobs: TokenLogprobs | None = None
    finish_reason: str | None = None
    prompt_logprobs: list[dict[str, PromptLogprob] | None] | None = None


class Answer(msgspec.Struct):
    """What the completions endpoint answers."""

    choices: list[Choice]


class Sampled(NamedTuple):
    """What a server has sampled."""

    ids: list[int]
    logprobs: list[float]
    is_cut: bool = False
    """Whether the server was told to break off: with ids so far, or none."""


def sampling_body(model: str, prompt: list[int], sampling: Sampling, **more: Any) -> dict[str, Any]:
    """Return the request for one completion; nothing is left to the server's own defaults."""
    greedy = sampling.temperature == 0
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": 1.0 if greedy else sampling.top_p,
        "top_k": 0 if greedy else sampling.top_k,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": sampling.seed & _SEED_MASK,
        "stop_token_ids": list(sampling.stop_ids),
        # Only the stop ids asked for end a completion.
        "ignore_eos": True,
        "add_special_tokens": False,
        "logprobs": 0,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        **more,
    }


def scoring_body(model: str, prompt: list[int], **more: Any) -> dict[str, Any]:
    """Return the request for the log-probabilities of a prompt; one id is sampled in vain."""
    return sampling_body(model, prompt, Sampling(max_tokens=1), prompt_logprobs=0, **more)


def step_seed(seed: int, step: int) -> int:
    """Return the seed of one step of a completion that takes several requests.

    With the same seed in each step an id that is allowed in two would meet the same noise twice.
    """
    mixed = (seed + (step + 1) * 0x9E3779B97F4A7C15) & ((1 << 64) - 1)
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & ((1 << 64) - 1)
    return (mixed ^ (mixed >> 27)) & _SEED_MASK


def sampled(answer: Answer, url: str) -> Sampled:
    """Return the sampled ids and their log-probabilities.

    Raises:
        EngineFault: They are missing, or the server broke off untold.
    """
    choice = _only(answer, url)
    is_cut = choice.finish_reason == "abort"
    ids = choice.token_ids or []
    logprobs = choice.logprobs.token_logprobs if choice.logprobs is not None else []
    if (not ids and not is_cut) or len(ids) != len(logprobs):
        raise EngineFault(
            f"the server at {url} sent no ids with log-probabilities; agentrl needs vLLM 0.32"
        )
    known = [value for value in logprobs if value is not None]
    if len(known) < len(ids) or not np.isfinite(known).all():
        raise EngineFault(
            f"the server at {url} sent log-probabilities that are no numbers; the policy's weights "
            "may have overflowed: look at the learner's figures"
        )
    if choice.finish_reason not in ("stop", "length", "abort"):
        raise EngineFault(f"the server at {url} broke off with {choice.finish_reason!r}")
    return Sampled(ids, known, is_cut)


def prompt_scores(answer: Answer, ids: Ids, url: str) -> Logprobs:
    """Return the log-probabilities of all ids of a prompt but the first.

    Raises:
        EngineFault: They are missing or of other ids.
    """
    rows = _only(answer, url).prompt_logprobs
    if rows is None or len(rows) != len(ids):
        raise EngineFault(f"the server at {url} sent no log-probabilities of the prompt")
    scores = np.empty(len(ids) - 1, np.float32)
    for place, (token, row) in enumerate(zip(ids[1:].tolist(), rows[1:], strict=True)):
        found = row.get(str(token)) if row is not None else None
        if found is None:
            raise EngineFault(f"the server at {url} scored other ids than those sent")
        scores[place] = found.logprob
    return scores


def next_score(answer: Answer, token: int, url: str) -> float:
    """Return the log-probability that `token` comes after the prompt.

    Raises:
        EngineFault: It is missing.
    """
    logprobs = _only(answer, url).logprobs
    rows = logprobs.top_logprobs if logprobs is not None else []
    found = rows[0].get(f"token_id:{token}") if rows and rows[0] is not None else None
    if found is None:
        raise EngineFault(f"the server at {url} did not score the id asked for")
    return found


def was_cut(answer: Answer) -> bool:
    """Return whether the server was told to break off."""
    return any(choice.finish_reason == "abort" for choice in answer.choices)


def tokens_done(metrics: str) -> float:
    """Return how many tokens a server has read and sampled, from its Prometheus metrics."""
    lines = [line for line in metrics.splitlines() if line.startswith(_TOKENS_DONE)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _only(answer: Answer, url: str) -> Choice:
    if len(answer.choices) != 1:
        raise EngineFault(f"the server at {url} sent {len(answer.choices)} completions for one")
    return answer.choices[0]
