"""One real vLLM server for all tests of the session: a start takes most of a minute.

Each test gets an engine of its own, attached to that server with the first weights back in place.
Set AGENTRL_TEST_VLLM to the URL of a server that was started the same way to use that one.
"""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agentrl.engines.base import Engine, Ids
from agentrl.engines.vllm.engine import VllmEngine

VOCABULARY, CONTEXT = 64, 256
_MLP = ["gate_proj", "up_proj", "down_proj"]
STORE_BACKEND = str(Path(__file__).with_name("store_backend"))
"""Where vLLM finds a weight transfer that needs no GPU."""


def model(seed: int) -> Any:
    """Return a tiny random Llama with heads as large as vLLM's attention on a CPU wants them.

    Its embeddings are tied, which weight updates must mind.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        head_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
    )
    network = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return network.eval()


class Tracked(VllmEngine):
    """Keeps the plain model beside the served one."""

    plain: Any

    async def load_weights(self, version: int, weights: Mapping[str, Any] | Path) -> None:
        assert not isinstance(weights, Path)
        await super().load_weights(version, weights)
        self.plain.load_state_dict(weights)
        _Server.is_changed = True


class _Server:
    """What the tests share."""

    is_changed = False


def changed() -> None:
    """Have the first weights put back before the next test."""
    _Server.is_changed = True


def build(max_batch: int = 64, cache_tokens: int | None = None) -> Tracked:
    """Return a fresh engine of version 1; the server's cache has a size of its own."""
    del cache_tokens
    folder = model_folder()
    engine = Tracked(folder, urls=[url()], max_batch=max_batch, version=1, start_seconds=20)
    engine.plain = model(0)
    reset()
    return engine


def reset() -> None:
    """Put the first weights back, if they were changed."""
    if _Server.is_changed:
        asyncio.run_coroutine_threadsafe(_reset(model_folder()), _loop()).result()
        _Server.is_changed = False


def logits(engine: Engine, ids: Ids) -> npt.NDArray[np.float32]:
    """Return the plain model's logits, shape [len(ids), vocabulary]."""
    assert isinstance(engine, Tracked)
    with torch.no_grad():
        rows = engine.plain(torch.from_numpy(ids.astype(np.int64))[None]).logits[0]
    return np.asarray(rows.float().numpy())


async def _reset(folder: Path) -> None:
    engine = VllmEngine(folder, urls=[url()])
    await engine.load_weights(1, folder)
    await engine.close()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return a loop in another thread: engines are built in the middle of a test's own."""
    import threading

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


@functools.cache
def url() -> str:
    """Start the server, once."""
    return os.environ.get("AGENTRL_TEST_VLLM") or server().urls[0]


@functools.cache
def server() -> VllmEngine:
    """Return the engine that owns the server; it is stopped when the tests end."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "vllm")
    assert "vllm" in test, f"name {test} with vllm: such tests run in one process, with one server"
    return VllmEngine(
        model_folder(),
        dtype="float32",
        max_batch=64,
        # For all tests at once: LoRA, and a weight transfer that needs no GPU.
        server={
            "enforce_eager": True,
            "enable_lora": True,
            "lora_target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", *_MLP],
            "max_lora_rank": 8,
            "max_loras": 2,
            "weight_transfer_config": {"backend": "store"},
        },
        environment={
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "PYTHONPATH": STORE_BACKEND,
        },
    )


@functools.cache
def model_folder() -> Path:
    """Write the model of seed 0, with a tokenizer that vLLM wants to have."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = Path(tempfile.mkdtemp(prefix="agentrl-conformance-"))
    network = model(0)
    network.save_pretrained(folder)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    served = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0")
    served.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    served.save_pretrained(folder)
    return folder
