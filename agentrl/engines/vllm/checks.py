"""What a request must be before it is sent: one clear line instead of the server's refusal."""

from __future__ import annotations

import numpy as np

from agentrl.engines.base import Ids, Request, Sampling
from agentrl.engines.vllm.wire import MIN_TEMPERATURE
from agentrl.errors import ConfigError

_FOREIGN = "the tokenizer does not belong to this model"


def check_options(max_batch: int, request_seconds: float, stall_seconds: float) -> None:
    """Raise `ConfigError` for an engine option that is out of range."""
    if max_batch < 1:
        raise ConfigError(f"engine max_batch must be at least 1, not {max_batch}")
    for name, value in (("request_seconds", request_seconds), ("stall_seconds", stall_seconds)):
        if value <= 0:
            raise ConfigError(f"engine {name} must be above 0, not {value}")


def check_request(request: Request, vocabulary: int, context_length: int) -> None:
    """Raise `ConfigError` for a request that cannot be served as it is."""
    check_ids(request.prompt_ids, "prompt", vocabulary)
    _check_sampling(request.sampling)
    _check_choices(request.choices, vocabulary)
    total = len(request.prompt_ids) + request.sampling.max_tokens
    if total > context_length:
        raise ConfigError(
            f"a prompt of {len(request.prompt_ids)} ids and max_tokens="
            f"{request.sampling.max_tokens} do not fit the context of {context_length}; "
            "lower dialogue.max_turn_tokens or use dialogue.memory=window"
        )


def check_ids(ids: Ids, what: str, vocabulary: int) -> None:
    """Raise `ConfigError` for ids that are missing or outside the vocabulary."""
    if len(ids) == 0:
        raise ConfigError(f"the {what} is empty; give at least one id")
    low, high = int(np.min(ids)), int(np.max(ids))
    if low < 0 or high >= vocabulary:
        raise ConfigError(
            f"the {what} holds id {low if low < 0 else high}, outside the vocabulary of "
            f"{vocabulary}; {_FOREIGN}"
        )


def _check_sampling(sampling: Sampling) -> None:
    temperature = sampling.temperature
    limits = {
        "temperature": (
            temperature == 0 or temperature >= MIN_TEMPERATURE,
            f"0, or at least {MIN_TEMPERATURE}, the lowest that vLLM samples at",
        ),
        "top_p": (0 < sampling.top_p <= 1, "above 0 and at most 1"),
        "top_k": (sampling.top_k >= 0, "at least 0"),
        "max_tokens": (sampling.max_tokens >= 1, "at least 1"),
    }
    for name, (good, range_) in limits.items():
        if not good:
            raise ConfigError(f"sampling {name} must be {range_}, not {getattr(sampling, name)}")


def _check_choices(choices: tuple[tuple[int, ...], ...] | None, vocabulary: int) -> None:
    if choices is None:
        return
    if not choices or not all(choices):
        raise ConfigError("choices must hold at least one sequence, and none that is empty")
    if max(map(max, choices)) >= vocabulary or min(map(min, choices)) < 0:
        raise ConfigError(
            f"the choices hold ids outside the vocabulary of {vocabulary}; {_FOREIGN}"
        )
