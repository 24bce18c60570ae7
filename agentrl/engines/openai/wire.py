"""What goes over the wire: chat requests, and the part of the answers that we read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agentrl.dialogue.messages import Message
from agentrl.engines.base import FinishReason, Sampling, Usage

_SEED_MASK = (1 << 31) - 1
"""Larger seeds overflow in some servers."""
_MOST_TOKENS = 1 << 31
"""A reply with more is miscounted."""


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply of the endpoint."""

    text: str
    """Empty where the model called a tool, refused, or only reasoned."""
    finish_reason: FinishReason
    usage: Usage
    """Zeros where the endpoint does not count, or says what cannot be."""


def chat_body(
    model: str,
    messages: list[Message],
    sampling: Sampling,
    *,
    limit_name: str,
    omit: Iterable[str],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the request for one reply.

    Args:
        model: Its name at the endpoint.
        messages: The conversation.
        sampling: All of it is said, so that nothing is left to defaults; `top_k`, which most
            endpoints do not know, only where it restricts.
        limit_name: What the endpoint calls the limit on sampled tokens.
        omit: Of ours, what is left out.
        extra: Fields on top.
    """
    fields: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed & _SEED_MASK,
        "max_tokens": sampling.max_tokens,
    }
    for name in omit:
        fields.pop(name, None)
    if "max_tokens" in fields:
        fields[limit_name] = fields.pop("max_tokens")
    if sampling.top_k:
        fields["top_k"] = sampling.top_k
    return {"model": model, "messages": messages, **fields, **extra}


def read_json(content: bytes) -> Any:
    """Return what a body holds, whatever its Unicode is like.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return json.loads(content.decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_answer(content: Any, max_tokens: int) -> Answer:
    """Return the reply that an answer holds.

    Raises:
        ValueError: It is none.
    """
    try:
        answer = msgspec.convert(content, _Answer, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if not answer.choices:
        raise ValueError("it holds no choices")
    choice = answer.choices[0]
    said = choice.message.content
    text = said if isinstance(said, str) else "".join(part.text or "" for part in said or ())
    was_cut = choice.finish_reason == "length"
    counted = answer.usage or _Usage()
    sampled = _count(counted.completion_tokens) or (max_tokens if was_cut else 0)
    usage = Usage(_count(counted.prompt_tokens), sampled)
    return Answer(text, "length" if was_cut else "stop", usage)


def _count(tokens: int | None) -> int:
    """Return a count of the endpoint's, or 0 where it cannot be one."""
    return tokens if tokens is not None and 0 < tokens <= _MOST_TOKENS else 0
