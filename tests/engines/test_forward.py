"""The ways to run a model agree with each other and leave the learner's module alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from agentrl.engines.embedded.forward import FlatForward, build_forward, replica
from agentrl.engines.embedded.padded import PaddedForward
from agentrl.engines.embedded.pool import Chunk
from agentrl.errors import ModelError

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}


def llama(**changes):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2, **changes)).eval()


def neox():
    torch.manual_seed(0)
    return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, bos_token_id=0, eos_token_id=0)).eval()


def sequences():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 50, n).astype(np.int32) for n in (9, 33, 20, 5)]


def walk(forward):
    """Run sequences through in uneven chunks and return all logits per sequence."""
    data = sequences()
    forward.pool.ensure(len(data), 64)
    done = [0] * len(data)
    logits = [[] for _ in data]
    for step in range(40):
        chunks = []
        for slot, ids in enumerate(data):
            size = min(len(ids) - done[slot], 1 + (step * 7 + slot * 5) % 6)
            if size:
                part = ids[done[slot] : done[slot] + size]
                chunks.append(Chunk(slot, done[slot], part, size))
        if not chunks:
            break
        chunks.sort(key=lambda chunk: len(chunk.ids) > 1)
        kept = forward(chunks).split([chunk.keep for chunk in chunks])
        for chunk, rows in zip(chunks, kept, strict=True):
            logits[chunk.slot].append(rows)
            done[chunk.slot] = chunk.end
    return [torch.cat(parts) for parts in logits]


@pytest.mark.parametrize("make", [llama, neox])
@pytest.mark.parametrize(
    "build",
    [
        FlatForward,
        lambda model, length: FlatForward(model, length, together=True),
        PaddedForward,
    ],
    ids=["flat", "flat-together", "padded"],
)
@torch.no_grad()
def test_chunks_give_the_plain_logits(make, build):
    model = make()
    got = walk(build(model, 128))
    for ids, logits in zip(sequences(), got, strict=True):
        plain = model(torch.from_numpy(ids).long()[None]).logits[0]
        assert torch.allclose(logits, plain, atol=1e-4)


def test_the_replica_shares_weights_and_nothing_else():
    model = llama().train()
    copy = replica(model)
    assert model.training
    assert not copy.training
    with torch.no_grad():
        model.lm_head.weight.add_(1)
    assert torch.equal(copy.lm_head.weight, model.lm_head.weight)
    FlatForward(model)
    assert model.config._attn_implementation == "sdpa"


def test_the_fastest_fitting_way_is_chosen():
    assert isinstance(build_forward(llama(), 128), FlatForward)
    assert isinstance(build_forward(llama(attn_implementation="eager"), 128), FlatForward)


def test_a_model_that_ignores_positions_is_refused():
    class Forgetful(LlamaForCausalLM):
        """Sees only what it is given at once, whatever the cache holds."""

        def forward(self, input_ids=None, **kwargs):
            return super().forward(input_ids=input_ids)

    torch.manual_seed(0)
    model = Forgetful(LlamaConfig(**SIZES)).eval()
    with pytest.raises(ModelError, match="another engine"):
        build_forward(model, 128)
