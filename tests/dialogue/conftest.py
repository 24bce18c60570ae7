"""Small tokenizers, made offline, that stand for the families of chat templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from agentrl.engines.base import Completion

CORPUS = [
    "You see a desk 1, a drawer 2 and a cabinet 3. On the desk 1, you see a pen 2.\n",
    "user assistant system model User: Assistant: [INST] go to desk 1\n\nopen drawer 2\n",
    "first agentrl text agentrl answer marked agentrl text\n",
]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful small model.<|im_end|>\n' }}{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim }}"
    "{{ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('no system role here') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else 'user') + '\n' }}"
    "{{ m.content | trim }}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
UNCLOSED = (
    "{{ '<|begin|>' }}{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
WORDS = (
    "{% for m in messages %}{{ m.role + ':\n' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    template: str
    specials: tuple[str, ...]
    eos: str
    extra: dict[str, Any] = field(default_factory=dict)


FAMILIES = {
    "chatml": Family(CHATML, ("<|im_start|>", "<|endoftext|>"), "<|im_end|>"),
    "default-system": Family(DEFAULT_SYSTEM + CHATML, ("<|im_start|>",), "<|im_end|>"),
    "base-eos": Family(CHATML, ("<|im_start|>", "<|im_end|>"), "<|endoftext|>"),
    "headers": Family(
        HEADERS,
        ("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
        "<|eot_id|>",
        {"bos_token": "<|begin_of_text|>"},
    ),
    "no-system": Family(NO_SYSTEM, ("<start_of_turn>",), "<end_of_turn>", {"bos_token": "<bos>"}),
    "unclosed": Family(
        UNCLOSED, ("<|begin|>", "<|user|>", "<|assistant|>", "<|system|>"), "<|endoftext|>"
    ),
    "words": Family(WORDS, (), "</s>"),
}


@cache
def _vocabulary() -> str:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    # Newlines merge with what follows them here, as in the large models' vocabularies.
    pieces = Regex(r" ?\p{L}+| ?\p{N}|\s*[\r\n]+|\s+| ?[^\s\p{L}\p{N}]+[\r\n]*")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([*CORPUS, "\n\n\n \n\n. \n"] * 4, trainer)
    return str(backend.to_str())


def make_tokenizer(specials: tuple[str, ...], eos: str, **options: Any) -> Any:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_vocabulary()),
        eos_token=eos,
        additional_special_tokens=list(specials),
        **options,
    )


@cache
def family_tokenizer(name: str) -> Any:
    if name == "line":
        return make_tokenizer(("<|observation|>", "<|action|>"), "<|end|>", agentrl_codec="line")
    family = FAMILIES[name]
    tokenizer = make_tokenizer(family.specials, family.eos, **family.extra)
    tokenizer.chat_template = family.template
    return tokenizer


@pytest.fixture(scope="session")
def build_tokenizer() -> Callable[..., Any]:
    """Returns a tokenizer of `make_tokenizer(specials, eos, **options)`."""
    return make_tokenizer


@pytest.fixture(scope="session")
def tokenizer_of() -> Callable[[str], Any]:
    """Returns the tokenizer of a family's name, or of `line`."""
    return family_tokenizer


@pytest.fixture(scope="session")
def complete() -> Callable[..., Completion]:
    """Returns a completion of these ids."""

    def make(ids: Any, finish_reason: Any = "stop") -> Completion:
        array = np.asarray(ids, np.int32)
        return Completion(array, np.zeros(len(array), np.float32), finish_reason, 0)

    return make


@pytest.fixture(scope="session", params=[*FAMILIES, "line"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """A tokenizer of every family, the line codec's included."""
    return family_tokenizer(request.param)


@pytest.fixture(scope="session", params=list(FAMILIES))
def chat_tokenizer(request: pytest.FixtureRequest) -> Any:
    """A tokenizer of every family that has a chat template."""
    return family_tokenizer(request.param)
